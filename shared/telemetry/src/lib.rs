//! Prometheus metrics of this process: created once per process, incremented where the events occur, and exposed at
//! `/metrics`. Each process counts its own work since its start; the exact numbers of a whole run, crashes included,
//! are in its result. `docs/metrics.md` lists all metrics, and a test compares it with the code.

mod labels;
mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::ids::Alias;
use keysweep_model::messages::{Receipt, ScanCounts};
use keysweep_model::metrics::Alert;
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{CleanupResult, RuleRow};
use strum::IntoStaticStr;

use self::labels::{
    AlertLabels, Failure, JobLabels, JobOutcomeLabels, Node, Post, Queue, QueueOutcome, Reason, Redis,
    Request, RuleLabels,
};
use self::registry::MetricFamilies;

/// The content type of [`Telemetry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Rules of a job, and so of series for each of its states.
const RULES_MAX: u32 = 100;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Telemetry {
    metrics: MetricFamilies,
}

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RequestKind {
    /// A page of keys with the TTLs of others, in one write.
    Window,
    /// The sizes of keys, or their values, in one write.
    Values,
    /// Calls of the script that checks and deletes candidates, in one write.
    Script,
}

impl Telemetry {
    /// All metrics in the text form of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        self.metrics.text()
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
            let labels = JobOutcomeLabels {
                cleanup_job: job.to_owned(),
                redis: redis.to_string(),
                outcome: outcome.into(),
            };
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

    /// Records the result of a run.
    pub fn ended(&self, redis: &Alias, result: &CleanupResult) {
        let (labels_of_job, metrics) = (labels_of_job(&result.job, redis), &self.metrics);
        let JobLabels { cleanup_job, redis } = labels_of_job.clone();
        metrics
            .runs
            .get_or_create(&JobOutcomeLabels { cleanup_job, redis, outcome: result.status.into() })
            .inc();
        let seconds = Duration::from_millis(result.duration_ms).as_secs_f64();
        metrics.run_duration.get_or_create(&labels_of_job).observe(seconds);
        match result.current_metrics.hit_rate {
            Some(percent) => drop(metrics.hit_ratio.get_or_create(&labels_of_job).set(percent / 100.0)),
            // It belongs to a time window; the value of an earlier window does not apply to this one.
            None => drop(metrics.hit_ratio.remove(&labels_of_job)),
        }
        self.counted(&labels_of_job, result);
        self.by_rule(&labels_of_job, result);
    }

    /// Sets the keys of each rule. What an earlier run set for rules that the job no longer has is removed.
    fn by_rule(&self, labels_of_job: &JobLabels, result: &CleanupResult) {
        let labels = |rule: u32, state| {
            let JobLabels { cleanup_job, redis } = labels_of_job.clone();
            RuleLabels { cleanup_job, redis, rule, state }
        };
        let states = |rule: &RuleRow| {
            let found = [
                ("scanned", rule.scanned),
                ("withoutTtl", rule.without_ttl),
                ("undecided", rule.undecided),
                ("candidates", rule.accounting.candidates),
            ];
            found.into_iter().chain(rule.accounting.rows())
        };
        for (rule, (state, keys)) in
            result.rules.iter().flat_map(|rule| states(rule).map(|of| (rule.index, of)))
        {
            let keys = i64::try_from(keys).unwrap_or(i64::MAX);
            self.metrics.rule_keys.get_or_create(&labels(rule, state)).set(keys);
        }
        let none = RuleRow::default();
        let first_gone = u32::try_from(result.rules.len()).unwrap_or(u32::MAX).saturating_add(1);
        for rule in first_gone..=RULES_MAX {
            for (state, _) in states(&none) {
                self.metrics.rule_keys.remove(&labels(rule, state));
            }
        }
    }

    /// Sets the number of keys. A run that does not know it keeps the previous value and its time.
    fn counted(&self, labels_of_job: &JobLabels, result: &CleanupResult) {
        let (metrics, now) = (&self.metrics, &result.current_metrics);
        let Some(keys) = now.total_keys else { return };
        metrics.matching_keys.get_or_create(labels_of_job).set(i64::try_from(keys).unwrap_or(i64::MAX));
        match now.avg_ttl {
            Some(seconds) => drop(metrics.average_ttl.get_or_create(labels_of_job).set(seconds)),
            // No key has one.
            None => drop(metrics.average_ttl.remove(labels_of_job)),
        }
        if let Ok(at) = result.finished_at.parse::<Timestamp>() {
            metrics.counted_at.get_or_create(labels_of_job).set(at.as_second());
        }
    }

    /// Sets the memory usage of the fullest primary, in percent of its limit; `None` if unknown.
    pub fn memory(&self, redis: &Alias, percent: Option<f64>) {
        let labels = Redis { redis: redis.to_string() };
        match percent {
            Some(percent) => drop(self.metrics.memory_used.get_or_create(&labels).set(percent / 100.0)),
            None => drop(self.metrics.memory_used.remove(&labels)),
        }
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

    /// Records that work was throttled for `reason`: `latency` or `rate_limit`.
    pub fn record_wait(&self, redis: &Alias, reason: &'static str, waited: Duration) {
        let labels = Reason { redis: redis.to_string(), reason };
        self.metrics.pace_waits.get_or_create(&labels).inc_by(waited.as_secs_f64());
    }

    /// Counts a post of a notification to a webhook.
    pub fn posted(&self, job: &str, hook: &'static str, delivered: bool) {
        let outcome = if delivered { "delivered" } else { "failed" };
        let labels = Post { cleanup_job: job.to_owned(), hook, outcome };
        self.metrics.webhook_posts.get_or_create(&labels).inc();
    }
}

fn labels_of_job(job: &str, redis: &Alias) -> JobLabels {
    JobLabels { cleanup_job: job.to_owned(), redis: redis.to_string() }
}

fn at_node(redis: &Alias, node: &str) -> Node {
    Node { redis: redis.to_string(), node: node.to_owned() }
}

#[cfg(test)]
mod tests;
