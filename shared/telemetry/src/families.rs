//! The metrics with their names, roles and meanings. Base units; the library appends `_total` to counters.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::catalog::{MetricDoc, Role};
use super::labels::{
    AlertLabels, Build, Failure, HttpLabels, JobLabels, JobOutcomeLabels, NoLabels, Node, Post, Queue,
    QueueOutcome, QueueState, Reason, Redis, Request, RuleLabels,
};

/// Seconds of a request to Redis: from far below a round trip to the longest time limit.
const REQUEST_SECONDS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Seconds of a probe: finest in the range of latency budgets.
const PROBE_SECONDS: [f64; 12] =
    [0.000_1, 0.000_2, 0.000_5, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.01, 0.025, 0.1, 1.0];

/// Seconds of a run: from a small cache to hours.
const RUN_SECONDS: [f64; 11] = [1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0];

/// A floating-point gauge.
type Real = Gauge<f64, AtomicU64>;

/// A counter of seconds.
type Seconds = Counter<f64, AtomicU64>;

/// A histogram with fixed bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// Histograms with bounds for seconds.
fn seconds<S: Clone + std::hash::Hash + Eq>(bounds: &'static [f64]) -> Family<S, Histogram, Buckets> {
    Family::new_with_constructor(Buckets(bounds))
}

const COORDINATOR: &[Role] = &[Role::Coordinator];
const SCANNER: &[Role] = &[Role::Scanner];
const REPORTER: &[Role] = &[Role::Reporter];
const WORKERS: &[Role] = &[Role::Scanner, Role::Reaper];
const NOTIFIERS: &[Role] = &[Role::Coordinator, Role::Reporter];

macro_rules! families {
    ($($field:ident: $kind:ty = $make:expr, $roles:expr, $name:literal, $meaning:literal;)+) => {
        /// All metrics.
        #[derive(Debug)]
        pub(super) struct MetricFamilies { $(pub(super) $field: $kind,)+ }

        impl MetricFamilies {
            /// All of them. Those of `roles` are registered.
            pub(super) fn new(registry: &mut Registry, roles: &[Role]) -> Self {
                $(let $field: $kind = $make;
                if roles.iter().any(|role| $roles.contains(role)) {
                    registry.register($name, $meaning, $field.clone());
                })+
                Self { $($field,)+ }
            }
        }

        /// What is known of each, in the order of their names here.
        pub fn catalog() -> Vec<MetricDoc> {
            vec![$(MetricDoc::new::<$kind>($name, $roles, $meaning)),+]
        }
    };
}

families! {
    build: Family<Build, Gauge> = Family::default(), Role::ALL, "build_info",
        "the program: its version, the commit it was built from and the compiler, empty if unknown; always 1";
    keys_listed: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_listed",
        "keys listed, matching or not";
    keys_scanned: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_scanned",
        "matching keys that were looked up";
    keys_stale: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_stale",
        "matching keys without TTL";
    keys_inactive: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_inactive",
        "keys of inactive users";
    keys_protected: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_protected",
        "stale or inactive keys that a protected pattern keeps";
    keys_reported: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_reported",
        "stale or inactive keys that are only reported";
    keys_field_ttl: Family<JobLabels, Counter> = Family::default(), SCANNER, "keys_field_ttl",
        "hashes without a TTL of their own whose fields expire; they are not stale";
    keys_reaped: Family<JobOutcomeLabels, Counter> = Family::default(), &[Role::Reaper], "keys_reaped",
        "candidates with an outcome: `deleted`, `expired` (received a TTL), `clamped` (received a shorter TTL), `spared`, `fieldTtl`, `vanished`, `failed`, `unreached`, `unconfirmed`";
    deliveries: Family<QueueOutcome, Counter> = Family::default(), WORKERS, "deliveries",
        "finished deliveries of `tasks` and `batches`: `done`, `requeued` (not due yet, left to other workers, or NATS failed), `failed` (retried), `dead_lettered`, `undecodable`, `bad_signature`";
    redeliveries: Family<Queue, Counter> = Family::default(), WORKERS, "redeliveries",
        "deliveries of messages that had been delivered before";
    queue_full_waits: Family<Queue, Counter> = Family::default(), SCANNER, "queue_full_waits",
        "times that a batch waited because the queue was full";
    queue_messages: Family<QueueState, Gauge> = Family::default(), COORDINATOR, "queue_messages",
        "messages in the queues in NATS: `waiting` for a worker, `in_hand` at one, and of those `redelivered` ones; absent without NATS";
    redis_request_duration: Family<Request, Histogram, Buckets> = seconds(&REQUEST_SECONDS), WORKERS,
        "redis_request_duration_seconds",
        "time until Redis answered one write: a `window` of keys and TTLs, `values` to be saved, or calls of the deletion `script`";
    redis_failures: Family<Failure, Counter> = Family::default(), WORKERS, "redis_failures",
        "failures that ended an attempt at a message: `unreachable`, `connection_lost`, `tls`, `misconfigured`, `cut_off`, `too_large`, `protocol`, `authentication`, `permission_denied`, `moved`, `unavailable`, `full`, `not_writable`, `no_script`, `wrong_deployment`, `command_error`";
    redis_up: Family<Node, Gauge> = Family::default(), COORDINATOR, "redis_up",
        "whether a primary answered the last check, 0 or 1; until one is found, that of an address of the settings";
    redis_memory: Family<Node, Gauge> = Family::default(), COORDINATOR, "redis_memory_used_bytes",
        "memory that a primary used at the last check; absent if it did not answer";
    memory_used: Family<Redis, Real> = Family::default(), COORDINATOR, "memory_used_ratio",
        "memory usage of the fullest primary at the last check, 0 to 1 of its limit";
    runs: Family<JobOutcomeLabels, Counter> = Family::default(), REPORTER, "runs",
        "finished runs: `completed`, `partial`, `failed`, `cancelled`";
    run_duration: Family<JobOutcomeLabels, Histogram, Buckets> = seconds(&RUN_SECONDS), REPORTER,
        "run_duration_seconds", "time from the start to the end of a run, by its outcome";
    runs_active: Family<JobLabels, Gauge> = Family::default(), COORDINATOR, "runs_active",
        "runs of a job that have begun and not ended";
    leader: Family<JobLabels, Gauge> = Family::default(), COORDINATOR, "leader",
        "whether this process drives a run of the job, 0 or 1";
    last_run: Family<JobLabels, Gauge> = Family::default(), COORDINATOR, "last_run_timestamp_seconds",
        "when the last run of a job ended, in Unix time, whatever its outcome; refused runs count";
    last_success: Family<JobLabels, Gauge> = Family::default(), COORDINATOR, "last_success_timestamp_seconds",
        "when the last completed run of a job ended, in Unix time; dry runs count only if the job makes nothing else";
    next_run: Family<JobLabels, Gauge> = Family::default(), COORDINATOR, "next_run_timestamp_seconds",
        "when a job is due next, in Unix time: in the past, while a run that is due cannot be recorded and so does not start; absent without a schedule";
    ttl_current: Family<JobLabels, Real> = Family::default(), COORDINATOR, "ttl_current_seconds",
        "the TTL that the keys of a job are written with, by the last look at them; absent while it is not known";
    ttl_recommended: Family<JobLabels, Real> = Family::default(), COORDINATOR, "ttl_recommended_seconds",
        "the TTL that is recommended for them; absent if advice is refused";
    missed_runs: Family<JobLabels, Counter> = Family::default(), COORDINATOR, "missed_runs",
        "due times of a job at which no service was running";
    last_stale: Family<JobLabels, Gauge> = Family::default(), REPORTER, "last_run_stale_keys",
        "keys without TTL that the last run found";
    last_freed: Family<JobLabels, Gauge> = Family::default(), REPORTER, "last_run_freed_bytes",
        "estimate of the memory that the deletions of the last run freed, or would have freed in a dry run; absent while it is not known";
    last_complete: Family<JobLabels, Gauge> = Family::default(), REPORTER, "last_run_complete",
        "whether the last run read everything, 0 or 1";
    last_uncovered: Family<JobLabels, Gauge> = Family::default(), REPORTER, "last_run_uncovered_slots",
        "slots that the last run did not read; absent for standalone servers";
    hit_ratio: Family<JobLabels, Real> = Family::default(), REPORTER, "hit_ratio",
        "share of the application's lookups that hit, 0 to 1: since the previous run, or during the last run if there was no previous one; absent while it is not known within two percentage points";
    matching_keys: Family<JobLabels, Gauge> = Family::default(), REPORTER, "matching_keys",
        "matching keys that remained after the last run that knows this number";
    rule_keys: Family<RuleLabels, Gauge> = Family::default(), REPORTER, "rule_keys",
        "keys of a rule, numbered from 1, in the last run of the job: `scanned`, `withoutTtl`, `undecided`, `candidates` and each outcome; at most 100 rules";
    average_ttl: Family<JobLabels, Real> = Family::default(), REPORTER, "average_ttl_seconds",
        "average TTL of matching keys in the same run; absent if none has one";
    counted_at: Family<JobLabels, Gauge> = Family::default(), REPORTER, "matching_keys_timestamp_seconds",
        "when that run ended, in Unix time";
    alerts_active: Family<AlertLabels, Gauge> = Family::default(), COORDINATOR, "alerts_active",
        "whether an alert is firing, 0 or 1, for each alert of the served jobs";
    webhook_posts: Family<Post, Counter> = Family::default(), NOTIFIERS, "webhook_posts",
        "notifications posted to `generic` and `slack` webhooks: `delivered`, `failed`; repetitions do not count";
    http_requests: Family<HttpLabels, Counter> = Family::default(), Role::ALL, "http_requests",
        "requests to the admin address by route; `other` is any route that does not exist";
    nats_connected: Family<NoLabels, Gauge> = Family::default(), Role::ALL, "nats_connected",
        "whether the connection to NATS stands, 0 or 1; absent without NATS";
    nats_reconnects: Family<NoLabels, Counter> = Family::default(), Role::ALL, "nats_reconnects",
        "times that the connection to NATS was made again; absent without NATS";
    duty_cycle: Family<Node, Real> = Family::default(), WORKERS, "duty_cycle",
        "duty cycle: share of a node's time that this process uses, above 0 and up to 1; present while it works on the node with a latency budget";
    pace_slowdowns: Family<Redis, Counter> = Family::default(), WORKERS, "pacing_slowdowns",
        "times that the duty cycle of a node was halved because a probe was late";
    pace_waits: Family<Reason, Seconds> = Family::default(), WORKERS, "pacing_waits_seconds",
        "time that work was throttled: for the `latency` of other clients, or for the `rate_limit`";
    probe_duration: Family<Redis, Histogram, Buckets> = seconds(&PROBE_SECONDS), WORKERS, "probe_duration_seconds",
        "time until a node in use answered a PING";
}
