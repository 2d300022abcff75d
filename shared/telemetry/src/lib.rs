//! Prometheus metrics and spans of this process. Metrics are created once per process, incremented where the events
//! occur, and exposed at `/metrics`. Each process counts its own work since its start; the exact numbers of a whole run, crashes included,
//! are in its result. `docs/metrics.md` lists all metrics, and a test compares it with the code.

mod catalog;
mod exposition;
mod families;
mod labels;
mod nodes;
mod process;
mod runs;
pub mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::Alias;
use keysweep_model::messages::{Receipt, ScanCounts};
use keysweep_model::metrics::Alert;
use keysweep_model::outcome::Outcome;
use keysweep_model::result::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantArray};

use self::catalog::PREFIX;
use self::families::MetricFamilies;
use self::labels::{
    AlertLabels, Build, Failure, HttpLabels, JobLabels, NoLabels, Node, Post, Queue, QueueOutcome,
    QueueState, Reason, Redis, Request,
};
use self::nodes::SeenNodes;
use self::process::ProcessCollector;
use self::spans::SpanSink;

pub use catalog::{MetricDoc, Role, table};
pub use exposition::Exposition;
pub use families::catalog;
pub use runs::JobRuns;

/// The queues, as they are named in labels.
const QUEUES: [&str; 2] = ["tasks", "batches"];

/// All metrics of the process.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    process: Registry,
    metrics: MetricFamilies,
    /// The nodes of each deployment that were checked.
    seen: SeenNodes,
    /// Where spans go, if work is traced.
    spans: Option<Arc<dyn SpanSink>>,
}

/// What the program was built from; empty where that is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildInfo {
    /// Its version.
    pub version: &'static str,
    /// The commit.
    pub revision: &'static str,
    /// The compiler.
    pub rustc: &'static str,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::of(Role::ALL, BuildInfo::default())
    }
}

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryOutcome {
    /// It was handled, and acknowledged.
    Done,
    /// It was too early, or the queue or the store failed.
    Requeued,
    /// It failed and is retried.
    Failed,
    /// It failed permanently.
    DeadLettered,
    /// It cannot be decoded, and was dead-lettered.
    Undecodable,
    /// Its signature was not accepted, and it was dead-lettered.
    BadSignature,
}

/// The kinds of requests to Redis whose duration is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum RequestKind {
    /// A page of keys with the TTLs of others, in one write.
    Window,
    /// The sizes of keys, or their values, in one write.
    Values,
    /// Calls of the script that checks and deletes candidates, in one write.
    Script,
}

/// Why work is throttled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum WaitReason {
    /// For the latency of other clients.
    Latency,
    /// For the limit of keys per second.
    RateLimit,
}

impl Telemetry {
    /// The metrics of a process with `roles`. Counters whose labels are known begin at 0: the increase from nothing to 1 is
    /// none for Prometheus.
    #[must_use]
    pub fn of(roles: &[Role], build: BuildInfo) -> Self {
        let (mut registry, mut process) = (Registry::with_prefix(PREFIX), Registry::default());
        process.register_collector(Box::new(ProcessCollector));
        let metrics = MetricFamilies::new(&mut registry, roles);
        let BuildInfo { version, revision, rustc } = build;
        metrics.build.get_or_create(&Build { version, revision, rustc }).set(1);
        for queue in QUEUES {
            for outcome in DeliveryOutcome::VARIANTS {
                begin(&metrics.deliveries, &QueueOutcome { queue, outcome: outcome.into() });
            }
            begin(&metrics.redeliveries, &Queue { queue });
        }
        begin(&metrics.queue_full_waits, &Queue { queue: "batches" });
        Self { registry, process, metrics, seen: SeenNodes::default(), spans: None }
    }

    /// The same, with spans that go to `spans`.
    #[must_use]
    pub fn traced_to(self, spans: Option<Arc<dyn SpanSink>>) -> Self {
        Self { spans, ..self }
    }

    /// Lets the counters of a job begin at 0, if they have not yet.
    pub fn knows_job(&self, job: &str, redis: &Alias) {
        let (labels, metrics) = (labels_of_job(job, redis), &self.metrics);
        for family in [
            &metrics.keys_listed,
            &metrics.keys_scanned,
            &metrics.keys_stale,
            &metrics.keys_inactive,
            &metrics.keys_protected,
            &metrics.keys_reported,
            &metrics.keys_field_ttl,
            &metrics.missed_runs,
        ] {
            begin(family, &labels);
        }
        for outcome in Outcome::VARIANTS {
            begin(&metrics.keys_reaped, &labels.clone().with_outcome(outcome.into()));
        }
        for status in Status::VARIANTS {
            begin(&metrics.runs, &labels.clone().with_outcome(status.into()));
        }
    }

    /// Lets the counters of a deployment begin at 0, if they have not yet; those of its failures have these kinds.
    pub fn knows_redis(&self, redis: &Alias, failures: impl IntoIterator<Item = &'static str>) {
        let (redis, metrics) = (redis.to_string(), &self.metrics);
        for kind in failures {
            begin(&metrics.redis_failures, &Failure { redis: redis.clone(), kind });
        }
        for reason in WaitReason::VARIANTS {
            begin(&metrics.pace_waits, &Reason { redis: redis.clone(), reason: reason.into() });
        }
        begin(&metrics.pace_slowdowns, &Redis { redis });
    }

    /// The metrics as text.
    #[must_use]
    pub fn text(&self, format: Exposition) -> String {
        let mut text = self.own();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.process);
        match format {
            Exposition::OpenMetrics => text,
            Exposition::Prometheus => exposition::prometheus(&text),
        }
    }

    /// The metrics for node_exporter's textfile collector: without those of the process, which node_exporter has of itself.
    #[must_use]
    pub fn textfile(&self) -> String {
        exposition::prometheus(&self.own())
    }

    fn own(&self) -> String {
        let mut text = String::new();
        let _ = encode_registry(&mut text, &self.registry);
        text
    }

    /// Counts a scan task whose report was accepted.
    pub fn scanned(&self, job: &str, redis: &Alias, counts: &ScanCounts) {
        let (labels_of_job, metrics) = (labels_of_job(job, redis), &self.metrics);
        for (family, keys) in [
            (&metrics.keys_listed, counts.listed),
            (&metrics.keys_scanned, counts.scanned),
            (&metrics.keys_stale, counts.stale),
            (&metrics.keys_inactive, counts.inactive),
            (&metrics.keys_protected, counts.protected),
            (&metrics.keys_reported, counts.reported),
            (&metrics.keys_field_ttl, counts.field_ttl),
        ] {
            family.get_or_create(&labels_of_job).inc_by(keys);
        }
    }

    /// Counts the outcomes of a batch whose receipt was accepted.
    pub fn reaped(&self, job: &str, redis: &Alias, receipt: &Receipt, keys: u64) {
        let mut counts: BTreeMap<Outcome, u64> =
            receipt.all.map(|outcome| (outcome, keys)).into_iter().collect();
        for outcome in receipt.groups.iter().flat_map(|group| &group.outcomes) {
            *counts.entry(*outcome).or_default() += 1;
        }
        for (outcome, keys) in counts {
            let labels = labels_of_job(job, redis).with_outcome(outcome.into());
            self.metrics.keys_reaped.get_or_create(&labels).inc_by(keys);
        }
    }

    /// Counts the end of a delivery, the `deliveries`-th of its message.
    pub fn delivered(&self, queue: &'static str, outcome: DeliveryOutcome, deliveries: u32) {
        let outcome = outcome.into();
        self.metrics.deliveries.get_or_create(&QueueOutcome { queue, outcome }).inc();
        if deliveries > 1 {
            self.metrics.redeliveries.get_or_create(&Queue { queue }).inc();
        }
    }

    /// Counts a message that waited because its queue was full.
    pub fn waited(&self, queue: &'static str) {
        self.metrics.queue_full_waits.get_or_create(&Queue { queue }).inc();
    }

    /// Records the duration of a request to Redis.
    pub fn request(&self, redis: &Alias, asked: RequestKind, took: Duration) {
        let labels = Request { redis: redis.to_string(), request: asked.into() };
        self.metrics.redis_request_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a failed request to Redis.
    pub fn failed(&self, redis: &Alias, kind: &'static str) {
        let labels = Failure { redis: redis.to_string(), kind };
        self.metrics.redis_failures.get_or_create(&labels).inc();
    }

    /// Sets which of the alerts of `job`, by `names`, are firing: those in `active`.
    pub fn alerts(&self, job: &str, names: &[&str], active: &[Alert]) {
        let active = active.iter().map(|alert| alert.alert.as_str()).collect::<BTreeSet<_>>();
        for alert in names {
            let labels = AlertLabels { cleanup_job: job.to_owned(), alert: (*alert).to_owned() };
            self.metrics.alerts_active.get_or_create(&labels).set(i64::from(active.contains(alert)));
        }
    }

    /// Sets the duty cycle at a node.
    pub fn paced(&self, redis: &Alias, node: &str, share: f64) {
        self.metrics.duty_cycle.get_or_create(&at_node(redis, node)).set(share);
    }

    /// Removes the duty cycle of a node without work.
    pub fn not_paced(&self, redis: &Alias, node: &str) {
        self.metrics.duty_cycle.remove(&at_node(redis, node));
    }

    /// Records a probe of a node, and the duty cycle after it, which was halved because of the probe or not.
    pub fn probed(&self, (redis, node): (&Alias, &str), took: Duration, share: f64, halved: bool) {
        let labels = Redis { redis: redis.to_string() };
        self.metrics.probe_duration.get_or_create(&labels).observe(took.as_secs_f64());
        self.paced(redis, node, share);
        if halved {
            self.metrics.pace_slowdowns.get_or_create(&labels).inc();
        }
    }

    /// Records that work was throttled for `reason`.
    pub fn record_wait(&self, redis: &Alias, reason: WaitReason, waited: Duration) {
        let labels = Reason { redis: redis.to_string(), reason: reason.into() };
        self.metrics.pace_waits.get_or_create(&labels).inc_by(waited.as_secs_f64());
    }

    /// Sets how many messages a queue has.
    pub fn queued(&self, queue: &'static str, waiting: u64, in_hand: u64, redelivered: u64) {
        for (state, messages) in [("waiting", waiting), ("in_hand", in_hand), ("redelivered", redelivered)] {
            self.metrics.queue_messages.get_or_create(&QueueState { queue, state }).set(integer(messages));
        }
    }

    /// Sets whether NATS is connected, and how often the connection was made.
    pub fn nats(&self, connected: bool, connects: u64) {
        let metrics = &self.metrics;
        metrics.nats_connected.get_or_create(&NoLabels {}).set(i64::from(connected));
        let reconnects = metrics.nats_reconnects.get_or_create(&NoLabels {});
        reconnects.inc_by(connects.saturating_sub(1).saturating_sub(reconnects.get()));
    }

    /// Counts a request to the admin address.
    pub fn requested(&self, route: &str, method: &'static str, status: u16) {
        let labels = HttpLabels { route: route.to_owned(), method, status };
        self.metrics.http_requests.get_or_create(&labels).inc();
    }

    /// Counts a post of a notification to a webhook.
    pub fn posted(&self, job: &str, hook: &'static str, delivered: bool) {
        let outcome = if delivered { "delivered" } else { "failed" };
        let labels = Post { cleanup_job: job.to_owned(), hook, outcome };
        self.metrics.webhook_posts.get_or_create(&labels).inc();
    }
}

/// Lets a counter begin at 0, if it has not yet.
fn begin<L: Clone + std::hash::Hash + Eq, N, A>(family: &Family<L, Counter<N, A>>, labels: &L)
where
    Counter<N, A>: Default,
{
    drop(family.get_or_create(labels));
}

/// Sets a gauge, or removes it if there is no value.
fn set_or_remove<L, N, A>(family: &Family<L, Gauge<N, A>>, labels: &L, value: Option<N>)
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq,
    A: Atomic<N> + Default,
{
    match value {
        Some(value) => drop(family.get_or_create(labels).set(value)),
        None => drop(family.remove(labels)),
    }
}

/// A number of something as the value of a gauge.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn labels_of_job(job: &str, redis: &Alias) -> JobLabels {
    JobLabels { cleanup_job: job.to_owned(), redis: redis.to_string() }
}

fn at_node(redis: &Alias, node: &str) -> Node {
    Node { redis: redis.to_string(), node: node.to_owned() }
}

#[cfg(test)]
mod tests;
