//! Records whether a batch was attempted at its node. The batch's receipt depends on it: a batch that may have been
//! attempted is unconfirmed, not unreached; and an attempt after another one does not take a missing ledger for one that was
//! never written. Each batch has one mark, written by compare-and-set. So a worker that attempts the batch and one that ends
//! it unattempted cannot both succeed, and an attempt that did nothing can withdraw its mark unless another one has begun.

use keysweep_model::ids::BatchId;
use keysweep_model::outcome::Outcome;

use super::{RecordError, Records, decode, encode};
use crate::store::{Created, Entry};

/// The result of marking a batch before an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptMark {
    /// No earlier attempt may have done anything.
    First {
        /// The revision of the mark.
        revision: u64,
    },
    /// An earlier attempt may have.
    Again,
    /// The batch was ended unattempted: it may no longer be attempted.
    Ended,
}

/// What a mark says. That of an attempted batch is empty.
const ENDED: &str = "ended";
const WITHDRAWN: &str = "withdrawn";

impl Records {
    /// Records that the batch is about to be attempted at its node.
    pub async fn create_attempt(&self, batch: BatchId) -> Result<AttemptMark, RecordError> {
        loop {
            let entry = match self.mark(batch, None).await? {
                Created::Now(revision) => return Ok(AttemptMark::First { revision }),
                Created::Before(entry) => entry,
            };
            let said = said(&entry);
            if said.as_deref() == Some(ENDED) {
                return Ok(AttemptMark::Ended);
            }
            // Also if another attempt has begun: that one can no longer withdraw the mark.
            if let Some(revision) = self.change_mark(batch, None, entry.revision).await? {
                let is_first = said.as_deref() == Some(WITHDRAWN);
                return Ok(if is_first { AttemptMark::First { revision } } else { AttemptMark::Again });
            }
        }
    }

    /// Withdraws the mark of a first attempt that did nothing, so that the next one is the first. Changes nothing if
    /// another attempt has begun since.
    pub async fn withdraw_attempt(&self, batch: BatchId, revision: u64) -> Result<(), RecordError> {
        self.change_mark(batch, Some(WITHDRAWN), revision).await.map(drop)
    }

    /// Ends a batch whose ledgers cannot be sealed. What they do not record is unreached, and the batch may no longer be
    /// attempted. If an attempt may have done something already, or may still do it, that is unconfirmed.
    pub async fn end_untried(&self, batch: BatchId) -> Result<Outcome, RecordError> {
        loop {
            let Created::Before(entry) = self.mark(batch, Some(ENDED)).await? else {
                return Ok(Outcome::Unreached);
            };
            match said(&entry).as_deref() {
                Some(ENDED) => return Ok(Outcome::Unreached),
                Some(WITHDRAWN) => {
                    if self.change_mark(batch, Some(ENDED), entry.revision).await?.is_some() {
                        return Ok(Outcome::Unreached);
                    }
                }
                _ => return Ok(Outcome::Unconfirmed),
            }
        }
    }

    async fn mark(&self, batch: BatchId, what: Option<&str>) -> Result<Created, RecordError> {
        let key = self.attempt_key(batch);
        Ok(self.store.create(&key, encode(&key, &what)?).await?)
    }

    async fn change_mark(
        &self,
        batch: BatchId,
        what: Option<&str>,
        revision: u64,
    ) -> Result<Option<u64>, RecordError> {
        let key = self.attempt_key(batch);
        Ok(self.store.update(&key, encode(&key, &what)?, revision).await?)
    }

    fn attempt_key(&self, batch: BatchId) -> String {
        format!("attempts/{}/{batch}", self.run)
    }
}

/// What a mark says. One that cannot be decoded does not prove that the batch was unattempted.
fn said(entry: &Entry) -> Option<String> {
    decode::<Option<String>>(entry).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{MemoryStore, Store};
    use keysweep_model::ids::RunId;
    use keysweep_model::wire;

    /// Begins a first attempt. Returns the revision of its mark.
    async fn first(records: &Records, batch: BatchId) -> u64 {
        match records.create_attempt(batch).await.expect("noted") {
            AttemptMark::First { revision } => revision,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_batch_is_either_attempted_or_ended_unattempted() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let records = Records::new(Arc::clone(&store), RunId::new());
        let (tried, ended, older) = (BatchId::new(), BatchId::new(), BatchId::new());
        first(&records, tried).await;
        assert_eq!(records.create_attempt(tried).await.expect("noted"), AttemptMark::Again);
        assert_eq!(records.end_untried(tried).await.expect("noted"), Outcome::Unconfirmed);
        for _ in 0..2 {
            assert_eq!(records.end_untried(ended).await.expect("noted"), Outcome::Unreached);
        }
        assert_eq!(records.create_attempt(ended).await.expect("noted"), AttemptMark::Ended);
        // The note as earlier versions write it.
        let note = wire::encode(&()).expect("it is encoded");
        store.create(&records.attempt_key(older), note).await.expect("noted");
        assert_eq!(records.end_untried(older).await.expect("noted"), Outcome::Unconfirmed);
    }

    #[tokio::test]
    async fn an_attempt_that_did_nothing_is_withdrawn_unless_another_one_has_begun() {
        let records = Records::new(Arc::new(MemoryStore::default()), RunId::new());
        let (again, ended, taken) = (BatchId::new(), BatchId::new(), BatchId::new());
        let revision = first(&records, again).await;
        records.withdraw_attempt(again, revision).await.expect("withdrawn");
        let second = first(&records, again).await;
        // It was withdrawn before.
        records.withdraw_attempt(again, revision).await.expect("too late");
        assert!(second > revision);
        assert_eq!(records.end_untried(again).await.expect("noted"), Outcome::Unconfirmed);

        let revision = first(&records, ended).await;
        records.withdraw_attempt(ended, revision).await.expect("withdrawn");
        assert_eq!(records.end_untried(ended).await.expect("noted"), Outcome::Unreached);
        assert_eq!(records.create_attempt(ended).await.expect("noted"), AttemptMark::Ended);

        let revision = first(&records, taken).await;
        assert_eq!(records.create_attempt(taken).await.expect("noted"), AttemptMark::Again);
        records.withdraw_attempt(taken, revision).await.expect("too late");
        assert_eq!(records.create_attempt(taken).await.expect("noted"), AttemptMark::Again);
        assert_eq!(records.end_untried(taken).await.expect("noted"), Outcome::Unconfirmed);
    }
}
