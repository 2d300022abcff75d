//! What a coordinator tells subscribers of a run. How a run ended, the reporter tells. Pure.

use reporter::Totals;
use serde_json::json;
use shared::events::{Event, Kind};
use shared::messages::RunSpec;

use crate::state::RunState;

/// A coordinator begins to drive a run: its first one, or a later one.
#[must_use]
pub fn taken(spec: &RunSpec, epoch: u64, who: &str, now_ms: u64) -> Event {
    let data = json!({
        "coordinator": who,
        "epoch": epoch,
        "redis": spec.alias,
        "dryRun": spec.dry_run,
        "action": spec.rules.action.name(),
        "startedBy": spec.started_by,
        "attempt": spec.attempt,
        "keys": spec.nodes.iter().map(|node| node.keys).sum::<u64>(),
        "nodes": spec.nodes.len(),
    });
    if epoch == 1 {
        return Event::once(&spec.job, spec.run, Kind::Started, now_ms, data);
    }
    Event::once(&spec.job, spec.run, Kind::Taken, now_ms, data).one_of(epoch.to_string())
}

/// How far a run is.
#[must_use]
pub fn progress(spec: &RunSpec, state: RunState, totals: Totals, now_ms: u64) -> Event {
    let data = json!({
        "state": state.word(),
        "keys": spec.nodes.iter().map(|node| node.keys).sum::<u64>(),
        "listedKeys": totals.counts.listed,
        "scannedKeys": totals.counts.scanned,
        "staleTTLKeys": totals.counts.stale,
        "cleanedKeys": totals.accounting.deleted,
        "tasks": totals.tasks,
        "tasksReported": totals.tasks_reported,
    });
    Event::once(&spec.job, spec.run, Kind::Progress, now_ms, data).one_of_many()
}
