//! The namespaces of all keys that a run has read, from its reports.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use keysweep_inspect::{Miner, Namespace, Namespaces};
use keysweep_model::messages::{RunSpec, TaskReport};
use keysweep_model::metrics::RedisHealth;
use keysweep_model::wire;
use keysweep_storage::records::{Record, RecordError, Records};

use crate::sections::ceiling;

/// The keys of a run by namespace.
#[derive(Debug)]
pub struct KeyNamespaces {
    /// The namespaces. The memory of each has an upper bound if all its keys were measured, or if the servers' memory leaves
    /// no room for more.
    pub found: Namespaces,
    /// The memory that the servers used, in bytes; `None` if one of them did not report it.
    pub used_memory: Option<u64>,
    /// Why memory could not be measured, if it could not.
    pub memory_refused: Option<String>,
    /// Keys that may be counted twice, because their slots moved and were read again.
    pub repeated_max: u64,
    /// Whether further keys may be counted twice, because a table was resized while it was read, or because the server's
    /// cursors are not positions.
    pub approximate: bool,
}

impl KeyNamespaces {
    /// Of the keys of a file, in which no memory is stated.
    #[must_use]
    pub fn of_file(found: Namespaces, repeated_max: u64) -> Self {
        Self { found, used_memory: None, memory_refused: None, repeated_max, approximate: false }
    }
}

/// The namespaces of the run of `spec`, which has ended with `health`; see [`Miner::namespaces`] for `depth`. The records
/// must still exist.
///
/// # Errors
/// When the store fails.
pub async fn namespaces(
    records: &Records,
    spec: &RunSpec,
    health: &RedisHealth,
    depth: Option<NonZeroUsize>,
) -> Result<KeyNamespaces, RecordError> {
    let (mut all, mut seen, mut revision) = (Miner::default(), BTreeSet::new(), 0);
    let (mut repeated_max, mut approximate, mut memory_refused) = (0_u64, false, None);
    while let Some((at, record)) = records.next_after(revision).await? {
        revision = at;
        if let Some(Record::Report(report)) = record
            && seen.insert(report.task)
        {
            add(&mut all, &report);
            repeated_max = repeated_max.saturating_add(report.statistics.dropped);
            approximate |= report.approximate;
            memory_refused = memory_refused.or(report.statistics.refused);
        }
    }
    let (mut found, used_memory) = (all.namespaces(depth), ceiling(spec, health));
    bound(&mut found.rows, used_memory);
    Ok(KeyNamespaces { found, used_memory, memory_refused, repeated_max, approximate })
}

/// Bounds the memory of each namespace by what the others leave of `used_memory`.
fn bound(rows: &mut [Namespace], used_memory: Option<u64>) {
    let low = |row: &Namespace| row.memory.map_or(0, |memory| memory.low);
    let lows = rows.iter().map(low).fold(0, u64::saturating_add);
    for row in rows {
        let others = lows.saturating_sub(low(row));
        let most = used_memory.map(|used| used.saturating_sub(others));
        row.memory = row.memory.map(|memory| memory.at_most(most));
    }
}

/// Adds the keys of a report; if their namespaces cannot be read, without them.
fn add(all: &mut Miner, report: &TaskReport) {
    let read = report.namespaces.as_ref().map(|bytes| wire::decode::<Miner>(bytes));
    match read {
        Some(Ok(its)) => all.merge(&its),
        unread => {
            if let Some(Err(e)) = unread {
                tracing::warn!(task = %report.task, error = %e, "the namespaces of a task cannot be read");
            }
            all.add_unnamed(report.counts.matching(), report.counts.stale);
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_inspect::Lifetime;
    use keysweep_model::ids::{NodeId, RunId, TaskId};
    use keysweep_model::messages::{ScanCounts, TaskFailure};
    use serde_bytes::ByteBuf;

    use super::*;

    fn report(namespaces: Option<Vec<u8>>) -> TaskReport {
        let loss = TaskFailure { cause: String::new(), node_failed: false };
        TaskReport {
            counts: ScanCounts { scanned: 7, stale: 2, ..ScanCounts::default() },
            namespaces: namespaces.map(ByteBuf::from),
            ..TaskReport::abandoned(RunId::new(), TaskId::new(), NodeId::new("n"), loss)
        }
    }

    #[test]
    fn keys_of_a_report_without_readable_namespaces_are_in_none() {
        let (mut all, mut its) = (Miner::default(), Miner::default());
        for n in 1..=7 {
            its.add(format!("user:{n}").as_bytes(), Lifetime::Unlimited);
        }
        add(&mut all, &report(Some(wire::encode(&its).unwrap())));
        add(&mut all, &report(None));
        add(&mut all, &report(Some(vec![9; 40])));
        let found = all.namespaces(None);
        let [row] = found.rows.as_slice() else { panic!("{found:?}") };
        assert_eq!((row.template.as_str(), row.keys, row.no_ttl, row.missed_max), ("user:{id}", 7, 7, 14));
        assert_eq!((found.other_keys, found.other_no_ttl), (14, 4));
    }
}
