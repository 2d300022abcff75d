//! Skipping clean nodes. A node on which every key has a TTL has no stale keys; INFO keyspace shows this at no cost
//! (`keys` equals `expires`). Its slots are covered without a scan, and a sample of its keys supplies the statistics.
//! The check happens when the task runs, not when it was planned, and between two reads of the slot ownership.

use keysweep_model::limits::MEASURED_AT_ONCE;
use keysweep_model::messages::{
    Covered, Remainder, RemainderReason, RunSpec, ScanCounts, ScanTask, TaskReport,
};
use keysweep_model::range::Scope;
use keysweep_model::slot::SlotSet;
use keysweep_redis::Throttle;
use keysweep_redis::{RedisError, ScanConnection, Ttl, node};
use tokio::time::Instant;

use crate::classify::Classifier;
use crate::limits::{SAMPLE_BYTES_MAX, SKIPPED_SAMPLE_KEYS};
use crate::memory_sampling::measure_some;
use crate::sample::{KeySample, SampleRequest, SampledTables, sample};
use crate::source::ReadSourceConn;
use crate::statistics::Statistics;
use crate::validate::OwnershipSnapshot;

/// Builds the report of a task whose node may be skipped. If a key without TTL exists, the whole scope is handed back.
pub(crate) async fn skip(
    task: &ScanTask,
    spec: &RunSpec,
    selector: &Classifier<'_>,
    source: &ReadSourceConn,
    lister: &mut ScanConnection,
) -> Result<TaskReport, RedisError> {
    let before = OwnershipSnapshot::take(source, spec, &task.scope).await?;
    if let Some(report) = before.restarted(task) {
        return Ok(report);
    }
    let status = node::status(source.primary(), spec.db).await?;
    if status.expires < status.keys {
        let rest = vec![Remainder {
            reason: RemainderReason::HasPersistentKeys,
            scope: task.scope.clone(),
            pass: None,
        }];
        return Ok(TaskReport { remainder: rest, ..TaskReport::blank(task) });
    }
    let slots: Vec<(u16, u64)> = task.scope.slots().iter().map(|slot| (slot, 1)).collect();
    let slot_tables = spec.cluster && status.slot_tables;
    let breaks = Throttle::of(&spec.pacing);
    // If matching keys are rare, a few are enough: the node is not scanned for statistics alone.
    let (keys, bytes, ask) = (SKIPPED_SAMPLE_KEYS, SAMPLE_BYTES_MAX, selector.lookup_kind());
    let wanted = SampleRequest { keys, bytes, search: false, ask, breaks };
    let tables = SampledTables { keys: status.keys, slot_tables, slots: &slots };
    let sampled = sample(lister, &tables, wanted, selector).await?;
    // The server's counters may disagree with its data.
    if sampled.looks.iter().any(|(_, seen)| seen.ttl == Ttl::Persistent) {
        let rest = vec![Remainder {
            reason: RemainderReason::HasPersistentKeys,
            scope: task.scope.clone(),
            pass: None,
        }];
        return Ok(TaskReport { remainder: rest, lookups: sampled.lookups, ..TaskReport::blank(task) });
    }
    // The plan was made before the run's lock existed.
    let (counts, mut statistics) = extrapolate(&sampled, status.keys.min(task.keys), selector, spec);
    let mut lookups = sampled.lookups;
    while statistics.waiting() > 0 {
        let sent = Instant::now();
        let count = breaks.at_once(usize::try_from(MEASURED_AT_ONCE).unwrap_or(usize::MAX));
        lookups += measure_some(&mut statistics, count, source.conn()).await?;
        breaks.rest(sent).await;
    }
    let after = OwnershipSnapshot::take(source, spec, &task.scope).await?;
    if let Some(report) = after.restarted(task) {
        return Ok(report);
    }
    let (covered, rest) = split_scope(&task.scope, &before, &after);
    let statistics = Box::new(statistics.finish(0));
    Ok(TaskReport { covered, remainder: rest, counts, lookups, statistics, ..TaskReport::blank(task) })
}

/// Extrapolates the sample to all `keys` keys of the node.
fn extrapolate(
    sampled: &KeySample,
    keys: u64,
    selector: &Classifier<'_>,
    spec: &RunSpec,
) -> (ScanCounts, Statistics) {
    let looked = sampled.looks.len() as u64;
    let scale = |part: u64| {
        let scaled = u128::from(part) * u128::from(keys) / u128::from(sampled.listed.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    let matching = if sampled.all { looked } else { scale(looked) };
    let mut statistics =
        Statistics::of_sample(looked, matching, spec.application.known_ttl_ms().unwrap_or_default());
    let mut counts =
        ScanCounts { skipped: keys, skipped_matching: matching, sampled: looked, ..ScanCounts::default() };
    // The weights of the sampled keys add up to all matching keys of the node.
    let up_to = |n: u64| u64::try_from(u128::from(matching) * u128::from(n) / u128::from(looked.max(1)));
    let mut weighted = 0;
    for (n, (key, seen)) in (1..).zip(&sampled.looks) {
        let up_to = up_to(n).unwrap_or(u64::MAX);
        let weight = up_to - std::mem::replace(&mut weighted, up_to);
        statistics.set_weight(weight);
        statistics.seen(key.as_bytes(), seen.ttl, selector.classify(key.as_bytes(), seen));
        counts.add_ttl(seen.ttl.remaining_ms().saturating_mul(weight));
    }
    (counts, statistics)
}

/// Splits the scope into what is covered and what must be read: slots that moved during the check.
fn split_scope(
    scope: &Scope,
    before: &OwnershipSnapshot,
    after: &OwnershipSnapshot,
) -> (Covered, Vec<Remainder>) {
    match scope {
        Scope::Cursors(cursors) => {
            let (pass, ranges) = (cursors.pass, cursors.ranges.clone());
            (Covered::Ranges { pass, slots: cursors.slots.clone(), ranges }, Vec::new())
        }
        Scope::Slots { slots, .. } => {
            let stable = after.stable_since(before, slots);
            let moved: SlotSet = slots.difference(&stable);
            let scope = Scope::Slots { slots: moved.clone() };
            let rest = Remainder { reason: RemainderReason::Unstable, scope, pass: None };
            (Covered::Slots(stable), if moved.is_empty() { Vec::new() } else { vec![rest] })
        }
    }
}
