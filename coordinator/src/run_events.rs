//! The events of a run that a coordinator publishes. The reporter publishes the end of a run. Pure.

use keysweep_model::messages::RunSpec;
use keysweep_storage::events::{Event, EventKind};
use serde_json::json;

use crate::drive::Progress;

/// A run has begun.
#[must_use]
pub fn started(spec: &RunSpec, who: &str, now_ms: u64) -> Event {
    let data = json!({
        "coordinator": who,
        "redis": spec.alias,
        "dryRun": spec.dry_run,
        "action": spec.rules.action.name(),
        "startedBy": spec.started_by,
        "attempt": spec.attempt,
        "keys": spec.keys(),
        "nodes": spec.nodes.len(),
    });
    Event::once(&spec.job, spec.run, EventKind::Started, now_ms, data)
}

/// Another coordinator took the run over, in this epoch.
#[must_use]
pub fn taken_over(spec: &RunSpec, epoch: u64, who: &str, now_ms: u64) -> Event {
    let data = json!({ "coordinator": who, "epoch": epoch });
    Event::once(&spec.job, spec.run, EventKind::TakenOver, now_ms, data).one_of(epoch.to_string())
}

/// The progress of a run.
#[must_use]
pub fn progress(spec: &RunSpec, progress: &Progress, now_ms: u64) -> Event {
    let Progress { phase, keys, totals, read } = progress;
    let data = json!({
        "state": <&str>::from(phase),
        "keys": keys,
        "listedKeys": read.listed.saturating_sub(totals.counts.skipped),
        "skippedKeys": totals.counts.skipped,
        "scannedKeys": read.scanned,
        "staleTTLKeys": read.stale,
        "cleanedKeys": totals.accounting.deleted,
        "tasks": totals.tasks,
        "tasksReported": totals.tasks_reported,
    });
    Event::once(&spec.job, spec.run, EventKind::Progress, now_ms, data).one_of_many()
}
