//! The labels of the metrics. Job, deployment and closed sets of words only: keys, patterns and runs would make series
//! without end. The address of a node is one while somebody works there at a latency budget, and goes afterwards.

use prometheus_client::encoding::EncodeLabelSet;

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name { $(pub(super) $field: $kind),+ }
    )+};
}

labels! {
    /// A job at a deployment.
    Place { cleanup_job: String, redis: String }
    /// What became of something of a job at a deployment.
    PlaceOutcome { cleanup_job: String, redis: String, outcome: &'static str }
    /// A deployment.
    Redis { redis: String }
    /// A sort of request to a deployment.
    Request { redis: String, request: &'static str }
    /// A sort of failure at a deployment.
    Failure { redis: String, kind: &'static str }
    /// One of the queues.
    Queue { queue: &'static str }
    /// What became of a delivery of one of the queues.
    QueueOutcome { queue: &'static str, outcome: &'static str }
    /// An alert of a job.
    AlertOf { cleanup_job: String, alert: String }
    /// What became of a post to a hook of a job.
    Post { cleanup_job: String, hook: &'static str, outcome: &'static str }
    /// A node at work.
    Node { redis: String, node: String }
    /// Why work is held back.
    Reason { redis: String, reason: &'static str }
    /// The program.
    Build { version: &'static str }
}
