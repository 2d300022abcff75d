//! Spans: what a process records of its work for distributed traces. A run, a scan task and a reap batch have one each,
//! never a key. Where they go is a [`SpanSink`]; without one nothing is recorded.

use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use keysweep_model::ids::{Alias, NodeId};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::trace::TraceParent;

use super::Telemetry;

/// Where the ended spans of a process go.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Takes a span. It must not block.
    fn record(&self, span: Span);
}

/// An attribute of a span.
pub type Attribute = (&'static str, AttributeValue);

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A count.
    Number(u64),
    /// A fact.
    Flag(bool),
}

/// The kinds of work that have spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    /// A run, from its start to its result.
    Run,
    /// One delivery of a scan task.
    Task,
    /// One delivery of a reap batch.
    Batch,
}

impl Traced {
    /// The name of such spans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Task => "scan task",
            Self::Batch => "reap batch",
        }
    }
}

/// Work that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its trace and its own id.
    pub id: TraceParent,
    /// The span that it belongs to; `None` for a run.
    pub parent: Option<NonZeroU64>,
    /// What it is.
    pub traced: Traced,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is known of it.
    pub attributes: Vec<Attribute>,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
}

/// Work in progress.
#[derive(Clone, Copy, Debug)]
pub struct OpenSpan {
    /// Its trace and its own id, for messages that it sends.
    pub id: TraceParent,
    parent: NonZeroU64,
    start: SystemTime,
}

impl OpenSpan {
    /// Begins a span within `parent`.
    fn within(parent: TraceParent) -> Self {
        let span = NonZeroU64::new(fastrand::u64(1..)).unwrap_or(NonZeroU64::MIN);
        Self { id: TraceParent { trace: parent.trace, span }, parent: parent.span, start: SystemTime::now() }
    }

    /// Ends it.
    fn end(self, traced: Traced, attributes: Vec<Attribute>, error: Option<String>) -> Span {
        let Self { id, parent, start } = self;
        Span { id, parent: Some(parent), traced, start, end: SystemTime::now(), attributes, error }
    }
}

impl Telemetry {
    /// Whether spans of this process go anywhere.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.spans.is_some()
    }

    /// Begins a span within `parent`; `None` if spans go nowhere.
    #[must_use]
    pub fn begin_span(&self, parent: TraceParent) -> Option<OpenSpan> {
        self.is_traced().then(|| OpenSpan::within(parent))
    }

    /// Ends a span, with the cause if its work failed.
    pub fn end_span(
        &self,
        span: OpenSpan,
        traced: Traced,
        attributes: Vec<Attribute>,
        error: Option<String>,
    ) {
        if let Some(spans) = &self.spans {
            spans.record(span.end(traced, attributes, error));
        }
    }

    /// Records the span of a run with a result.
    pub(super) fn trace_run(&self, redis: &Alias, result: &CleanupResult) {
        if let Some(spans) = &self.spans {
            spans.record(of_run(redis, result));
        }
    }
}

/// The attributes of work at one node, by OpenTelemetry's conventions for databases where they have a name for it.
#[must_use]
pub fn at_node(redis: &Alias, node: &NodeId, operation: &str) -> Vec<Attribute> {
    let text = |name, value: &str| (name, AttributeValue::Text(value.to_owned()));
    vec![
        text("db.system.name", "redis"),
        text("db.operation.name", operation),
        text("keysweep.redis", redis.as_str()),
        text("keysweep.redis.node", node.as_str()),
    ]
}

fn of_run(redis: &Alias, result: &CleanupResult) -> Span {
    let status: &str = result.status.into();
    let problem = || result.issues.first().cloned().unwrap_or_else(|| status.to_owned());
    let end = result.finished_at.parse::<Timestamp>().map_or_else(|_| SystemTime::now(), SystemTime::from);
    let start = end.checked_sub(Duration::from_millis(result.duration_ms)).unwrap_or(end);
    Span {
        id: TraceParent::of_run(result.run_id),
        parent: None,
        traced: Traced::Run,
        start,
        end,
        attributes: vec![
            ("keysweep.run.id", AttributeValue::Text(result.run_id.to_string())),
            ("keysweep.job", AttributeValue::Text(result.job.clone())),
            ("keysweep.redis", AttributeValue::Text(redis.to_string())),
            ("keysweep.run.status", AttributeValue::Text(status.to_owned())),
            ("keysweep.run.dry_run", AttributeValue::Flag(result.dry_run)),
            ("keysweep.run.scanned_keys", AttributeValue::Number(result.scanned_keys)),
            ("keysweep.run.cleaned_keys", AttributeValue::Number(result.cleaned_keys)),
        ],
        error: (result.status != Status::Completed).then(problem),
    }
}
