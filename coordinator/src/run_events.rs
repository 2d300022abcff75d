//! The events of a run that a coordinator publishes. The reporter publishes the end of a run. Pure.

use keysweep_model::messages::RunSpec;
use keysweep_storage::events::{Event, EventKind, ProgressData, StartedData, TakenOverData};
use serde_json::json;

use crate::drive::Progress;

/// A run has begun.
#[must_use]
pub fn started(spec: &RunSpec, who: &str, now_ms: u64) -> Event {
    let data = StartedData {
        coordinator: who,
        redis: &spec.alias,
        dry_run: spec.dry_run,
        action: spec.rules.action_name(),
        started_by: &spec.started_by,
        attempt: spec.attempt,
        keys: spec.keys(),
        nodes: spec.nodes.len(),
    };
    Event::once(&spec.job, spec.run, EventKind::Started, now_ms, json!(data))
}

/// Another coordinator took the run over, in this epoch.
#[must_use]
pub fn taken_over(spec: &RunSpec, epoch: u64, who: &str, now_ms: u64) -> Event {
    let data = TakenOverData { coordinator: who, epoch };
    Event::once(&spec.job, spec.run, EventKind::TakenOver, now_ms, json!(data)).one_of(epoch.to_string())
}

/// The progress of a run.
#[must_use]
pub fn progress(spec: &RunSpec, progress: &Progress, now_ms: u64) -> Event {
    let Progress { phase, keys, totals, read } = progress;
    let data = ProgressData {
        state: phase.into(),
        keys: *keys,
        listed_keys: read.listed.saturating_sub(totals.counts.skipped),
        skipped_keys: totals.counts.skipped,
        scanned_keys: read.scanned,
        stale_ttl_keys: read.stale,
        cleaned_keys: totals.accounting.deleted,
        tasks: totals.tasks,
        tasks_reported: totals.tasks_reported,
    };
    Event::once(&spec.job, spec.run, EventKind::Progress, now_ms, json!(data)).one_of_many()
}
