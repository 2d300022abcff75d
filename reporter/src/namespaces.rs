//! The namespaces of all keys that a run has read, from its reports.

use std::collections::BTreeSet;

use keysweep_inspect::{Miner, Namespaces};
use keysweep_model::messages::TaskReport;
use keysweep_model::wire;
use keysweep_storage::records::{Record, RecordError, Records};

/// The keys of a run by namespace.
#[derive(Debug)]
pub struct KeyNamespaces {
    /// The namespaces.
    pub found: Namespaces,
    /// Keys that may be counted twice, because their slots moved and were read again.
    pub repeated_max: u64,
    /// Whether further keys may be counted twice, because a table was resized while it was read, or because the server's
    /// cursors are not positions.
    pub approximate: bool,
}

/// The namespaces of a run that has ended. The records must still exist.
///
/// # Errors
/// When the store fails.
pub async fn namespaces(records: &Records) -> Result<KeyNamespaces, RecordError> {
    let (mut all, mut seen, mut revision) = (Miner::default(), BTreeSet::new(), 0);
    let (mut repeated_max, mut approximate) = (0_u64, false);
    while let Some((at, record)) = records.next_after(revision).await? {
        revision = at;
        if let Some(Record::Report(report)) = record
            && seen.insert(report.task)
        {
            add(&mut all, &report);
            repeated_max = repeated_max.saturating_add(report.statistics.dropped);
            approximate |= report.approximate;
        }
    }
    Ok(KeyNamespaces { found: all.namespaces(), repeated_max, approximate })
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
        (1..=7).for_each(|n| its.add(format!("user:{n}").as_bytes(), Lifetime::Unlimited));
        add(&mut all, &report(Some(wire::encode(&its).unwrap())));
        add(&mut all, &report(None));
        add(&mut all, &report(Some(vec![9; 40])));
        let found = all.namespaces();
        let [row] = found.rows.as_slice() else { panic!("{found:?}") };
        assert_eq!((row.template.as_str(), row.keys, row.no_ttl, row.missed_max), ("user:{id}", 7, 7, 14));
        assert_eq!((found.other_keys, found.other_no_ttl), (14, 4));
    }
}
