//! Dead letters: messages that could not be handled, stored with the reason. Under `dead/<id>`.

use keysweep_model::ids::{RunId, unique};
use keysweep_model::wire::shortened;
use serde::{Deserialize, Serialize};

use crate::records::{RecordError, decode, encode};
use crate::store::Store;

/// The key prefix of all dead letters.
pub const PREFIX: &str = "dead/";

/// The maximum payload that is stored with a dead letter, in bytes. A longer one is truncated: it is only for
/// inspection.
const PAYLOAD_BYTES_MAX: usize = 256 << 10;

/// A message that could not be handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Why.
    pub reason: String,
    /// The queue that it came from.
    pub queue: String,
    /// Its run, if it could be decoded.
    pub run: Option<RunId>,
    /// When it was dead-lettered, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The payload.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
}

/// Stores a dead letter.
///
/// # Errors
/// If the store fails.
pub async fn publish(store: &dyn Store, mut letter: DeadLetter) -> Result<(), RecordError> {
    letter.payload.truncate(PAYLOAD_BYTES_MAX);
    letter.reason = shortened(&letter.reason);
    let key = format!("{PREFIX}{}", unique());
    store.create(&key, encode(&key, &letter)?).await?;
    Ok(())
}

/// The next dead letter after `revision`, with its own revision. Entries of other formats are skipped.
///
/// # Errors
/// If the store fails.
pub async fn next(store: &dyn Store, mut revision: u64) -> Result<Option<(u64, DeadLetter)>, RecordError> {
    while let Some(entry) = store.next_after(PREFIX, revision).await? {
        revision = entry.revision;
        if let Ok(letter) = decode(&entry) {
            return Ok(Some((revision, letter)));
        }
    }
    Ok(None)
}
