//! The labels of the metrics. Only job, deployment and closed sets of words: keys, patterns and runs would create an
//! unbounded number of series. The address of a node is a label of what is known of nodes at the moment.

use prometheus_client::encoding::EncodeLabelSet;

/// The names of the labels of a metric.
pub(super) trait LabelNames {
    const NAMES: &'static [&'static str];
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name { $(pub(super) $field: $kind),* }

        impl LabelNames for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    )+};
}

labels! {
    /// A job at a deployment.
    JobLabels { cleanup_job: String, redis: String }
    /// An outcome of something of a job at a deployment.
    JobOutcomeLabels { cleanup_job: String, redis: String, outcome: &'static str }
    /// A state of the keys of a rule of a job, which is counted from 1.
    RuleLabels { cleanup_job: String, redis: String, rule: u32, state: &'static str }
    /// A deployment.
    Redis { redis: String }
    /// A kind of request to a deployment.
    Request { redis: String, request: &'static str }
    /// A kind of failure at a deployment.
    Failure { redis: String, kind: &'static str }
    /// One of the queues.
    Queue { queue: &'static str }
    /// The outcome of a delivery of one of the queues.
    QueueOutcome { queue: &'static str, outcome: &'static str }
    /// Where messages of one of the queues are.
    QueueState { queue: &'static str, state: &'static str }
    /// An alert of a job.
    AlertLabels { cleanup_job: String, alert: String }
    /// The outcome of a post to a webhook of a job.
    Post { cleanup_job: String, hook: &'static str, outcome: &'static str }
    /// A node.
    Node { redis: String, node: String }
    /// Why work is throttled.
    Reason { redis: String, reason: &'static str }
    /// A request to the admin address.
    HttpLabels { route: String, method: &'static str, status: u16 }
    /// A process.
    NoLabels {}
    /// The program.
    Build { version: &'static str, revision: &'static str, rustc: &'static str }
}

impl JobLabels {
    pub(super) fn with_outcome(self, outcome: &'static str) -> JobOutcomeLabels {
        let Self { cleanup_job, redis } = self;
        JobOutcomeLabels { cleanup_job, redis, outcome }
    }
}
