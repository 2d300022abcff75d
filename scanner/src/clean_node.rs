//! A node on which no key is without TTL has nothing stale, and its server says so for nothing: as many keys as keys
//! that expire (INFO keyspace). Its slots are vouched for by that, and a sample of its keys tells how they live. It is
//! looked at when the task is done, not when it was planned, and between two looks at the slots.

use shared::cluster::{RedisError, ScanConnection, Ttl, node};
use shared::limits::{MEASURED_AT_ONCE, SAMPLE_BYTES_MAX, SKIPPED_SAMPLE_KEYS};
use shared::messages::{Covered, Remainder, RequeueReason, RunSpec, ScanCounts, ScanTask, TaskReport};
use shared::pacing::Throttle;
use shared::range::{Scope, SlotListing};
use shared::slot::SlotSet;
use tokio::time::Instant;

use crate::classify::Classifier;
use crate::memory_sampling::measure_some;
use crate::sample::{KeySample, SampleRequest, SampledTables, sample};
use crate::source::ReadSourceConn;
use crate::statistics::Statistics;
use crate::validate::OwnershipSnapshot;

/// The report of a task whose node is to be skipped. Where a key without TTL has turned up, all of it is handed back.
pub(crate) async fn skip(
    task: &ScanTask,
    spec: &RunSpec,
    selector: &Classifier<'_>,
    (source, lister): (&ReadSourceConn, &mut ScanConnection),
) -> Result<TaskReport, RedisError> {
    let before = OwnershipSnapshot::take(source, spec, &task.scope).await?;
    if let Some(report) = before.restarted(task) {
        return Ok(report);
    }
    let status = node::status(source.primary(), spec.db).await?;
    if status.expires < status.keys {
        let rest = vec![Remainder {
            reason: RequeueReason::HasPersistentKeys,
            scope: task.scope.clone(),
            pass: None,
        }];
        return Ok(TaskReport { remainder: rest, ..TaskReport::blank(task) });
    }
    let slots: Vec<(u16, u64)> = task.scope.slots().iter().map(|slot| (slot, 1)).collect();
    let listing = spec.cluster.then_some(status.listing);
    let breaks = Throttle::of(&spec.pace);
    // Where matching keys are rare, a few are enough: nothing is read for the sake of statistics alone.
    let wanted = SampleRequest { keys: SKIPPED_SAMPLE_KEYS, bytes: SAMPLE_BYTES_MAX, search: false, breaks };
    let tables = SampledTables { keys: status.keys, listing, slots: &slots };
    let sampled = sample(lister, &tables, wanted, selector).await?;
    // What the server counted is not what it holds.
    if sampled.looks.iter().any(|(_, seen)| seen.ttl == Ttl::Persistent) {
        let rest = vec![Remainder {
            reason: RequeueReason::HasPersistentKeys,
            scope: task.scope.clone(),
            pass: None,
        }];
        return Ok(TaskReport { remainder: rest, lookups: sampled.lookups, ..TaskReport::blank(task) });
    }
    // The lock of the run was not there yet when it was planned.
    let (counts, mut statistics) = taken(&sampled, status.keys.min(task.keys), selector, spec);
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
    let (covered, rest) = sample_error(&task.scope, &before, &after);
    let statistics = Box::new(statistics.finish(0));
    Ok(TaskReport { covered, remainder: rest, counts, lookups, statistics, ..TaskReport::blank(task) })
}

/// What the sample says of all `keys` keys of the node.
fn taken(
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
    // Each key stands for as many as it takes until they are all of the node's.
    let up_to = |n: u64| u64::try_from(u128::from(matching) * u128::from(n) / u128::from(looked.max(1)));
    let mut stood_for = 0;
    for (n, (key, seen)) in (1..).zip(&sampled.looks) {
        let up_to = up_to(n).unwrap_or(u64::MAX);
        let stands_for = up_to - std::mem::replace(&mut stood_for, up_to);
        statistics.stands_for(stands_for);
        statistics.seen(key.as_bytes(), seen.ttl, selector.classify(key.as_bytes(), seen));
        counts.add_ttl(seen.ttl.remaining_ms().saturating_mul(stands_for));
    }
    (counts, statistics)
}

/// What nobody has to read, and what has to be: slots that moved while we looked.
fn sample_error(
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
            let scope = Scope::Slots { slots: moved.clone(), listing: SlotListing::KeysInSlot };
            let rest = Remainder { reason: RequeueReason::Unstable, scope, pass: None };
            (Covered::Slots(stable), if moved.is_empty() { Vec::new() } else { vec![rest] })
        }
    }
}
