//! Records whether a batch was attempted at its node. The batch's receipt depends on it: a batch that may have been
//! attempted is unconfirmed, not unreached. Each batch has one note, created once. So a worker that attempts the batch
//! and one that ends it unattempted cannot both succeed.

use keysweep_model::ids::BatchId;
use keysweep_model::outcome::Outcome;

use super::{RecordError, Records, decode, encode};
use crate::store::{Created, Entry};

/// The result of creating the note before an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptMark {
    /// No earlier delivery was attempted.
    First,
    /// An earlier delivery was attempted.
    Again,
    /// The batch was ended unattempted: it may no longer be attempted.
    Ended,
}

/// The content of the note if the batch was ended unattempted. The note of an attempted batch is empty.
const ENDED: &str = "ended";

impl Records {
    /// Records that the batch is about to be attempted at its node.
    pub async fn create_attempt(&self, batch: BatchId) -> Result<AttemptMark, RecordError> {
        Ok(match self.note_attempt(batch, None).await? {
            Created::Now(_) => AttemptMark::First,
            Created::Before(entry) if is_ended(&entry) => AttemptMark::Ended,
            Created::Before(_) => AttemptMark::Again,
        })
    }

    /// Ends a batch that has no ledger. It is unreached, and may no longer be attempted. If a delivery was attempted
    /// already, it is unconfirmed.
    pub async fn end_untried(&self, batch: BatchId) -> Result<Outcome, RecordError> {
        Ok(match self.note_attempt(batch, Some(ENDED)).await? {
            Created::Before(entry) if !is_ended(&entry) => Outcome::Unconfirmed,
            Created::Now(_) | Created::Before(_) => Outcome::Unreached,
        })
    }

    /// Whether a delivery of the batch was attempted.
    pub async fn attempted(&self, batch: BatchId) -> Result<bool, RecordError> {
        Ok(self.store.get(&self.attempt_key(batch)).await?.is_some_and(|entry| !is_ended(&entry)))
    }

    async fn note_attempt(&self, batch: BatchId, what: Option<&str>) -> Result<Created, RecordError> {
        let key = self.attempt_key(batch);
        Ok(self.store.create(&key, encode(&key, &what)?).await?)
    }

    fn attempt_key(&self, batch: BatchId) -> String {
        format!("attempts/{}/{batch}", self.run)
    }
}

/// An undecodable note does not prove that the batch was unattempted.
fn is_ended(entry: &Entry) -> bool {
    decode::<Option<String>>(entry).is_ok_and(|what| what.as_deref() == Some(ENDED))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{MemoryStore, Store};
    use keysweep_model::ids::RunId;
    use keysweep_model::wire;

    #[tokio::test]
    async fn a_batch_is_either_attempted_or_ended_unattempted() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let records = Records::new(Arc::clone(&store), RunId::new());
        let (tried, ended, older) = (BatchId::new(), BatchId::new(), BatchId::new());
        assert_eq!(records.create_attempt(tried).await.expect("noted"), AttemptMark::First);
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
        for (batch, expected) in [(tried, true), (ended, false), (older, true), (BatchId::new(), false)] {
            assert_eq!(records.attempted(batch).await.expect("read"), expected);
        }
    }
}
