//! The log lines of a run that the source document defines (requirements O4), verbatim. In JSON logs each has the run,
//! the job and its numbers as fields; in text logs only the sentence is shown.
//!
//! Services log them, and commands with `--log-format`. Other commands end with a page that has the same content, so
//! they omit them.

use std::path::Path;
use std::time::Duration;

use keysweep_model::duration;
use keysweep_model::ids::RunId;
use keysweep_model::messages::RunSpec;
use keysweep_model::result::{CleanupResult, Status};
use reporter::{WaitingBatches, grouped};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::drive::Progress;
use crate::options::Options;
use crate::run_phase::RunPhase;

/// The target of these lines; filters switch it off.
pub const LINES: &str = "keysweep::lines";

/// The target of the lines that replace them in commands.
pub const INSTEAD: &str = "keysweep::instead";

/// How long a run waits before the log gives the reason: runs that are about to stop, or have no grace, wait less.
const WAIT_LOGGED_AFTER: Duration = Duration::from_millis(200);

/// The shortest grace that commands without `--log-format` log. A terminal shows the others, too.
const LONG_GRACE: Duration = Duration::from_secs(10);

/// The lines of one run.
#[derive(Clone, Debug)]
pub struct RunLog {
    name: String,
    job: String,
    run: RunId,
    deletes: bool,
}

impl RunLog {
    /// The lines of the run that `spec` describes.
    #[must_use]
    pub fn of(spec: &RunSpec) -> Self {
        let deletes = spec.rules.action.deletes();
        Self { name: spec.display_name.clone(), job: spec.job.clone(), run: spec.run, deletes }
    }

    /// The lines of the run `run` with `options`.
    #[must_use]
    pub fn with(options: &Options, run: RunId) -> Self {
        let deletes = options.rules.action.deletes();
        Self { name: options.display_name.clone(), job: options.job.clone(), run, deletes }
    }

    /// A run begins.
    pub fn start(&self, spec: &RunSpec) {
        let Self { name, job, run, .. } = self;
        let by_rules = spec.rules.policy.is_some();
        let (keys, aggressive) = (spec.rules.scan_batch_keys, spec.activity_source.is_some() && !by_rules);
        tracing::info!(target: LINES, %run, job, "[{name}] Starting cleanup process...");
        tracing::info!(target: LINES, %run, job, scanBatchSize = keys, "[{name}] Scan batch size: {keys}");
        tracing::info!(target: LINES, %run, job, aggressive, "[{name}] Aggressive cleanup: {aggressive}");
        if let Some(why) = spec.inactive_refused.as_ref().filter(|_| by_rules) {
            tracing::warn!(target: LINES, %run, job, why, "[{name}] It is not known which users are active: {why}");
        } else if let Some(why) = &spec.inactive_refused {
            tracing::warn!(target: LINES, %run, job, why, "[{name}] Aggressive cleanup was refused: {why}");
        }
        if let Some(why) = &spec.scripts_refused {
            tracing::warn!(target: LINES, %run, job, why, "[{name}] Transactions are used instead of the script: {why}");
        }
    }

    /// Logs how many keys exist and how many are deleted, once all are read, and the grace that follows.
    pub async fn announce(&self, progress: watch::Receiver<Progress>) {
        self.found(progress.clone()).await;
        self.waits(progress).await;
    }

    /// Logs once that the run waits for the grace, if it does after all keys are read.
    async fn waits(&self, mut progress: watch::Receiver<Progress>) {
        loop {
            let waits = progress.borrow_and_update().waits();
            if waits.is_some() {
                sleep(WAIT_LOGGED_AFTER).await;
                let still = progress.borrow_and_update().waits();
                if let Some(waiting) = still {
                    return self.wait(waiting);
                }
            }
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    fn wait(&self, waiting: WaitingBatches) {
        let Self { name, job, run, .. } = self;
        let WaitingBatches { batches, keys, grace_ms } = waiting;
        let grace = Duration::from_millis(grace_ms);
        let sentence = format!(
            "All keys are read. Waiting until the grace of {} is over for the last candidates ({} in batches: {}), which are \
             then looked at again",
            duration::show(grace),
            grouped(keys),
            grouped(batches),
        );
        tracing::info!(target: LINES, %run, job, batches, keys, graceMs = grace_ms, "[{name}] {sentence}");
        if grace >= LONG_GRACE {
            tracing::info!(target: INSTEAD, "{sentence}");
        }
    }

    /// Waits until all keys are read, and logs how many exist and how many are deleted.
    async fn found(&self, mut progress: watch::Receiver<Progress>) {
        let Self { name, job, run, .. } = self;
        // The document's own job speaks of permission keys.
        let kind = if name == "PermissionCacheCleanup" { "permission" } else { "matching" };
        while progress.changed().await.is_ok() {
            let Progress { totals, phase, keys: planned, .. } = *progress.borrow_and_update();
            if matches!(phase, RunPhase::Planned | RunPhase::Scanning) {
                continue;
            }
            if planned > 0 && totals.counts.listed == 0 && totals.counts.skipped == 0 {
                // No task was read to its end.
                return;
            }
            let keys = totals.counts.matching();
            tracing::info!(target: LINES, %run, job, keys, "[{name}] Total {kind} keys found: {keys}");
            if self.deletes {
                let counts = totals.counts;
                let kept = counts.protected + counts.too_long + counts.field_ttl;
                let keys = totals.accounting.candidates.saturating_sub(kept);
                tracing::info!(target: LINES, %run, job, keys, "[{name}] Deleting {keys} keys...");
            }
            return;
        }
    }

    /// A run has its result.
    pub fn end(&self, result: &CleanupResult) {
        let Self { name, job, run, .. } = self;
        let metrics = &result.current_metrics;
        let none = |known: bool| if known { "none" } else { "unknown" }.to_owned();
        let no_traffic = result.metrics.hit_rates.current().lookups == Some(0);
        let hit_rate = metrics.hit_rate.map_or_else(|| none(no_traffic), |rate| format!("{rate:.1}%"));
        let sampled = result.skipped_keys == 0 || result.skipped.sampled_keys > 0;
        let no_ttl = result.coverage.complete && sampled && result.metrics.ttl.keys == 0;
        let ttl = metrics.avg_ttl.map_or_else(|| none(no_ttl), |ttl| format!("{ttl:.0}s"));
        let (scanned, cleaned) = (result.scanned_keys, result.cleaned_keys);
        let what = if result.status == Status::Completed { "complete" } else { "ended" };
        tracing::info!(
            target: LINES,
            %run,
            job,
            status = ?result.status,
            scanned,
            cleaned,
            stale = result.stale_ttl_keys,
            hitRate = metrics.hit_rate,
            avgTTL = metrics.avg_ttl,
            durationMs = result.duration_ms,
            "[{name}] Cleanup {what}: {{ scanned: {scanned}, cleaned: {cleaned}, hitRate: '{hit_rate}', avgTTL: '{ttl}' }}"
        );
        let lists = [("Recommendations", &result.recommendations), ("Issues detected", &result.issues)];
        for (title, sentences) in lists.into_iter().filter(|(_, sentences)| !sentences.is_empty()) {
            tracing::info!(target: LINES, %run, job, count = sentences.len(), "[{name}Worker] {title}:");
            for (n, sentence) in sentences.iter().enumerate() {
                tracing::info!(target: LINES, %run, job, "  {}. {sentence}", n + 1);
            }
        }
    }
}

/// Logs the path of a run's report.
pub fn report(result: &CleanupResult, name: &str, path: &Path) {
    let (run, job, path) = (result.run_id, &result.job, path.display());
    tracing::info!(target: LINES, %run, job, report = %path, "[{name}] Report: {path}");
    tracing::info!(target: INSTEAD, "Report: {path}");
}
