//! The metrics with their names and help texts. Base units; the library appends `_total` to counters.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::labels::{
    AlertLabels, Build, Failure, JobLabels, JobOutcomeLabels, Node, Post, Queue, QueueOutcome, Reason, Redis,
    Request, RuleLabels,
};

/// Seconds of a request to Redis: from far below a round trip to the longest time limit.
const REQUEST_SECONDS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Seconds of a probe: finest in the range of latency budgets.
const PROBE_SECONDS: [f64; 12] =
    [0.000_1, 0.000_2, 0.000_5, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.01, 0.025, 0.1, 1.0];

/// Seconds of a run: from a small cache to hours.
const RUN_SECONDS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0];

const AVERAGE_TTL: &str = "Average TTL of matching keys in the same run; absent if none has one";

const COUNTED_AT: &str = "When that run ended, in Unix time";

/// A floating-point gauge.
type Real = Gauge<f64, AtomicU64>;

/// A histogram with fixed bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// All metrics, and the registry with their names.
#[derive(Debug)]
pub(super) struct MetricFamilies {
    registry: Registry,
    pub(super) keys_listed: Family<JobLabels, Counter>,
    pub(super) keys_scanned: Family<JobLabels, Counter>,
    pub(super) keys_stale: Family<JobLabels, Counter>,
    pub(super) keys_inactive: Family<JobLabels, Counter>,
    pub(super) keys_protected: Family<JobLabels, Counter>,
    pub(super) keys_reported: Family<JobLabels, Counter>,
    pub(super) keys_field_ttl: Family<JobLabels, Counter>,
    pub(super) keys_reaped: Family<JobOutcomeLabels, Counter>,
    pub(super) deliveries: Family<QueueOutcome, Counter>,
    pub(super) redeliveries: Family<Queue, Counter>,
    pub(super) queue_full_waits: Family<Queue, Counter>,
    pub(super) redis_request_duration: Family<Request, Histogram, Buckets>,
    pub(super) redis_failures: Family<Failure, Counter>,
    pub(super) runs: Family<JobOutcomeLabels, Counter>,
    pub(super) run_duration: Family<JobLabels, Histogram, Buckets>,
    pub(super) hit_ratio: Family<JobLabels, Real>,
    pub(super) matching_keys: Family<JobLabels, Gauge>,
    pub(super) rule_keys: Family<RuleLabels, Gauge>,
    pub(super) average_ttl: Family<JobLabels, Real>,
    pub(super) counted_at: Family<JobLabels, Gauge>,
    pub(super) memory_used: Family<Redis, Real>,
    pub(super) alerts_active: Family<AlertLabels, Gauge>,
    pub(super) webhook_posts: Family<Post, Counter>,
    pub(super) duty_cycle: Family<Node, Real>,
    pub(super) pace_slowdowns: Family<Redis, Counter>,
    pub(super) pace_waits: Family<Reason, Counter<f64, AtomicU64>>,
    pub(super) probe_duration: Family<Redis, Histogram, Buckets>,
}

impl Default for MetricFamilies {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keysweep");
        let version = env!("CARGO_PKG_VERSION");
        registry.register("build", "The program; always 1", Info::new(Build { version }));
        let mut add = Names(registry);
        Self {
            keys_listed: add.metric("keys_listed", "Keys listed by scan tasks, of any pattern"),
            keys_scanned: add.metric("keys_scanned", "Matching keys that scan tasks looked up"),
            keys_stale: add.metric("keys_stale", "Matching keys without TTL that scan tasks found"),
            keys_inactive: add.metric("keys_inactive", "Keys of inactive users that scan tasks found"),
            keys_protected: add
                .metric("keys_protected", "Stale or inactive keys that a protected pattern keeps"),
            keys_reported: add.metric("keys_reported", "Stale or inactive keys that are only reported"),
            keys_field_ttl: add
                .metric("keys_field_ttl", "Hashes without a TTL of their own whose fields expire"),
            keys_reaped: add.metric("keys_reaped", "Candidates that reapers decided on, by outcome"),
            deliveries: add
                .metric("deliveries", "Deliveries of scan tasks and reap batches that ended, by outcome"),
            redeliveries: add.metric("redeliveries", "Deliveries of messages that had been delivered before"),
            queue_full_waits: add
                .metric("queue_full_waits", "Times that a message waited because its queue was full"),
            redis_request_duration: add.seconds(
                "redis_request_duration",
                "Time until Redis replied to a write: a window of keys and TTLs, or calls of the script",
                Family::new_with_constructor(Buckets(&REQUEST_SECONDS)),
            ),
            redis_failures: add
                .metric("redis_failures", "Failures at Redis that ended an attempt at a message, by kind"),
            runs: add.metric("runs", "Runs that this process reported, by status"),
            run_duration: add.seconds(
                "run_duration",
                "Time from the start to the end of a run",
                Family::new_with_constructor(Buckets(&RUN_SECONDS)),
            ),
            hit_ratio: add.metric(
                "hit_ratio",
                "Share of the application's lookups that hit, 0 to 1; absent while it is not known",
            ),
            matching_keys: add
                .metric("matching_keys", "Matching keys after the last run that knew their number"),
            rule_keys: add.metric("rule_keys", "Keys of a rule in the last run of its job, by state"),
            average_ttl: add.seconds("average_ttl", AVERAGE_TTL, Family::default()),
            counted_at: add.seconds("matching_keys_timestamp", COUNTED_AT, Family::default()),
            memory_used: add.metric(
                "memory_used_ratio",
                "The fullest primary's memory when it was last measured, 0 to 1 of its limit",
            ),
            alerts_active: add.metric("alerts_active", "Whether an alert is firing, 0 or 1"),
            webhook_posts: add
                .metric("webhook_posts", "Notifications posted to webhooks, retries not counted, by outcome"),
            duty_cycle: add.metric("duty_cycle", "Share of a node's time that this process uses, up to 1"),
            pace_slowdowns: add
                .metric("pacing_slowdowns", "Times that the share of a node's time was halved"),
            pace_waits: add.seconds(
                "pacing_waits",
                "Time that work was throttled by the latency budget or the rate limit",
                Family::default(),
            ),
            probe_duration: add.seconds(
                "probe_duration",
                "Time until a node at work answered a PING",
                Family::new_with_constructor(Buckets(&PROBE_SECONDS)),
            ),
            registry: add.0,
        }
    }
}

impl MetricFamilies {
    /// All of them as OpenMetrics text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Registers metrics as they are created.
struct Names(Registry);

impl Names {
    fn metric<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}
