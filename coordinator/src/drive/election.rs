//! How a process becomes the leader of a run: it reads the run log to its end and appends its epoch.

use keysweep_storage::records::{Decision, Record, RecordError, Records};

/// A leader's place in the run log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The number of the entry that announces the leader.
    pub entry: u64,
    /// The number of leaders so far, including this one.
    pub number: u64,
}

/// Makes `process_id` the leader. From here on, entries of the preceding leader are refused.
pub(super) async fn elect(records: &Records, process_id: &str) -> Result<Epoch, RecordError> {
    let (mut revision, mut epoch) = (0, Epoch { entry: 0, number: 1 });
    loop {
        while let Some((at, record)) = records.next_after(revision).await? {
            revision = at;
            // An entry that no other can follow is not a leader's.
            if let Some(Record::Decision { n, decision }) = record
                && let Some(next) = n.checked_add(1)
            {
                epoch.entry = next;
                if let Decision::LeaderElected { epoch: number, .. } = decision {
                    epoch.number = number.saturating_add(1);
                }
            }
        }
        let decision = Decision::LeaderElected { epoch: epoch.number, who: process_id.to_owned() };
        if records.append(epoch.entry, &decision).await? {
            return Ok(epoch);
        }
    }
}
