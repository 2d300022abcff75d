//! What is known of each metric without its values: for the page that lists them, and to expose only what a process counts.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::families::catalog;
use super::labels::LabelNames;
use super::process;

/// What a process does. Each exposes the metrics of its roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serves jobs: schedules, starts and drives runs.
    Coordinator,
    /// Lists keys.
    Scanner,
    /// Deletes them.
    Reaper,
    /// Reports runs.
    Reporter,
}

impl Role {
    /// All of them: a process that carries out runs by itself.
    pub const ALL: &'static [Self] = &[Self::Coordinator, Self::Scanner, Self::Reaper, Self::Reporter];

    fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Scanner => "scanner",
            Self::Reaper => "reaper",
            Self::Reporter => "reporter",
        }
    }
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricDoc {
    /// Its name, as it is queried.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, apart from `le` of histograms.
    pub labels: Vec<&'static str>,
    /// The roles whose processes expose it.
    pub roles: &'static [Role],
    /// What it counts or says, without a full stop.
    pub meaning: &'static str,
}

impl MetricDoc {
    pub(super) fn new<M: Described>(name: &str, roles: &'static [Role], meaning: &'static str) -> Self {
        let kind = M::kind();
        let end = if kind == "counter" { "_total" } else { "" };
        Self { name: format!("{PREFIX}_{name}{end}"), kind, labels: M::labels().to_vec(), roles, meaning }
    }

    /// Its row in the table of `docs/metrics.md`.
    fn row(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|label| format!("`{label}`")).collect();
        let roles = match self.roles {
            all if all == Role::ALL => "all".to_owned(),
            some => some.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "),
        };
        let Self { name, kind, meaning, .. } = self;
        format!("| `{name}` | {kind} | {} | {roles} | {meaning} |\n", labels.join(", "))
    }
}

/// The table of all metrics in Markdown, in the order of their names.
#[must_use]
pub fn table() -> String {
    let of_process = |(name, kind, meaning): &(&str, &'static str, &'static str)| {
        let (name, labels, roles) = ((*name).to_owned(), Vec::new(), Role::ALL);
        MetricDoc { name, kind, labels, roles, meaning }
    };
    let mut metrics = catalog();
    metrics.extend(process::DOCS.iter().map(of_process));
    metrics.sort_by(|one, other| one.name.cmp(&other.name));
    let head = "| name | type | labels | exposed by | meaning |\n|---|---|---|---|---|\n";
    metrics.iter().fold(head.to_owned(), |table, doc| table + &doc.row())
}

/// The prefix of all names.
pub(super) const PREFIX: &str = "keysweep";

/// What the type of a metric says about it.
pub(super) trait Described {
    fn kind() -> &'static str;
    fn labels() -> &'static [&'static str];
}

impl<S: LabelNames, M: TypedMetric, C> Described for Family<S, M, C> {
    fn kind() -> &'static str {
        match M::TYPE {
            MetricType::Counter => "counter",
            MetricType::Histogram => "histogram",
            MetricType::Gauge | MetricType::Info | MetricType::Unknown => "gauge",
        }
    }

    fn labels() -> &'static [&'static str] {
        S::NAMES
    }
}
