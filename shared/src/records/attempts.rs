//! Whether a batch was tried at its node, which its receipt rests on: a batch that is not known to be untried is
//! unconfirmed, not unreached. There is one note for each batch, written once: a worker that tries it and one that ends it
//! untried cannot both write it.

use super::{RecordError, Records, decode, encode};
use crate::ids::BatchId;
use crate::outcome::Outcome;
use crate::store::{Created, Entry};

/// What the note of a batch says to a worker that is about to try it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptMark {
    /// No delivery was tried before.
    First,
    /// An earlier delivery came as far.
    Again,
    /// It was ended untried: it may not be tried any more.
    Ended,
}

/// What stands in the note of a batch that was ended untried; there is nothing in that of one that was tried.
const ENDED: &str = "ended";

impl Records {
    /// Notes that a batch is about to be tried at its node.
    pub async fn create_attempt(&self, batch: BatchId) -> Result<AttemptMark, RecordError> {
        Ok(match self.note_attempt(batch, None).await? {
            Created::Now(_) => AttemptMark::First,
            Created::Before(entry) if is_ended(&entry) => AttemptMark::Ended,
            Created::Before(_) => AttemptMark::Again,
        })
    }

    /// Ends a batch of which no ledger says what was done: it is unreached, and no delivery may try it any more, unless
    /// one came as far as trying it; then it is unconfirmed.
    pub async fn end_untried(&self, batch: BatchId) -> Result<Outcome, RecordError> {
        Ok(match self.note_attempt(batch, Some(ENDED)).await? {
            Created::Before(entry) if !is_ended(&entry) => Outcome::Unconfirmed,
            Created::Now(_) | Created::Before(_) => Outcome::Unreached,
        })
    }

    /// Whether a delivery of the batch came as far as trying it.
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

/// A note that cannot be read does not say that it is untried.
fn is_ended(entry: &Entry) -> bool {
    decode::<Option<String>>(entry).is_ok_and(|what| what.as_deref() == Some(ENDED))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ids::RunId;
    use crate::store::{MemoryStore, Store};
    use crate::wire;

    #[tokio::test]
    async fn a_batch_is_tried_or_ended_untried_but_not_both() {
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
        // As earlier versions note it.
        let note = wire::encode(&()).expect("it is encoded");
        store.create(&records.attempt_key(older), note).await.expect("noted");
        assert_eq!(records.end_untried(older).await.expect("noted"), Outcome::Unconfirmed);
        for (batch, expected) in [(tried, true), (ended, false), (older, true), (BatchId::new(), false)] {
            assert_eq!(records.attempted(batch).await.expect("read"), expected);
        }
    }
}
