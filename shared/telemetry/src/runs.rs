//! The metrics of runs: what a result says, and what the history of a job says.

use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::ids::Alias;
use keysweep_model::result::{CleanupResult, RuleRow};
use keysweep_model::slot::SLOTS;

use super::labels::{JobLabels, RuleLabels};
use super::{Telemetry, integer, labels_of_job, set_or_remove};

/// Rules of a job, and so of series for each of its states.
const RULES_MAX: u32 = 100;

/// The runs of a job by its history, in Unix time. `None`: there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobRuns {
    /// Runs in progress.
    pub active: u64,
    /// When the last one ended, in seconds.
    pub last_s: Option<i64>,
    /// When the last completed one ended, in seconds.
    pub last_success_s: Option<i64>,
}

impl Telemetry {
    /// Records the result of a run.
    pub fn ended(&self, redis: &Alias, result: &CleanupResult) {
        let (labels_of_job, metrics) = (labels_of_job(&result.job, redis), &self.metrics);
        let labels = labels_of_job.clone().with_outcome(result.status.into());
        metrics.runs.get_or_create(&labels).inc();
        let seconds = Duration::from_millis(result.duration_ms).as_secs_f64();
        metrics.run_duration.get_or_create(&labels).observe(seconds);
        match result.current_metrics.hit_rate {
            Some(percent) => drop(metrics.hit_ratio.get_or_create(&labels_of_job).set(percent / 100.0)),
            // It belongs to a time window; the value of an earlier window does not apply to this one.
            None => drop(metrics.hit_ratio.remove(&labels_of_job)),
        }
        self.last(&labels_of_job, result);
        self.counted(&labels_of_job, result);
        self.by_rule(&labels_of_job, result);
        self.trace_run(redis, result);
    }

    /// Sets what the last run found and did.
    fn last(&self, labels: &JobLabels, result: &CleanupResult) {
        let (metrics, coverage) = (&self.metrics, &result.coverage);
        metrics.last_stale.get_or_create(labels).set(integer(result.stale_ttl_keys));
        metrics.last_complete.get_or_create(labels).set(i64::from(coverage.complete));
        let uncovered =
            coverage.slots_covered.map(|covered| integer(u64::from(SLOTS).saturating_sub(covered)));
        set_or_remove(&metrics.last_uncovered, labels, uncovered);
        let freed = result.freed_bytes.as_ref().map(|freed| integer(freed.estimate));
        set_or_remove(&metrics.last_freed, labels, freed);
    }

    /// Sets what the history of a job says of its runs, and whether this process drives one of them.
    pub fn job_runs(&self, job: &str, redis: &Alias, runs: JobRuns, drives: bool) {
        let (labels, metrics) = (labels_of_job(job, redis), &self.metrics);
        metrics.runs_active.get_or_create(&labels).set(integer(runs.active));
        metrics.leader.get_or_create(&labels).set(i64::from(drives));
        set_or_remove(&metrics.last_run, &labels, runs.last_s);
        set_or_remove(&metrics.last_success, &labels, runs.last_success_s);
    }

    /// Sets when a job is due next; `None` if it has no schedule.
    pub fn next_run(&self, job: &str, redis: &Alias, due: Option<Timestamp>) {
        set_or_remove(&self.metrics.next_run, &labels_of_job(job, redis), due.map(Timestamp::as_second));
    }

    /// Sets the TTL of a job's keys in seconds, and the one that is recommended; `None` where it is not known.
    pub fn ttls(&self, job: &str, redis: &Alias, current: Option<f64>, recommended: Option<f64>) {
        let (labels, metrics) = (labels_of_job(job, redis), &self.metrics);
        set_or_remove(&metrics.ttl_current, &labels, current);
        set_or_remove(&metrics.ttl_recommended, &labels, recommended);
    }

    /// Counts due times at which no service was running.
    pub fn missed(&self, job: &str, redis: &Alias, due_times: u64) {
        self.metrics.missed_runs.get_or_create(&labels_of_job(job, redis)).inc_by(due_times);
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
            self.metrics.rule_keys.get_or_create(&labels(rule, state)).set(integer(keys));
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
        metrics.matching_keys.get_or_create(labels_of_job).set(integer(keys));
        match now.avg_ttl {
            Some(seconds) => drop(metrics.average_ttl.get_or_create(labels_of_job).set(seconds)),
            // No key has one.
            None => drop(metrics.average_ttl.remove(labels_of_job)),
        }
        if let Ok(at) = result.finished_at.parse::<Timestamp>() {
            metrics.counted_at.get_or_create(labels_of_job).set(at.as_second());
        }
    }
}
