//! Dead letters: messages that nobody could handle, kept with the reason. Under `dead/<id>`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::RunId;
use crate::records::{RecordError, decode, encode};
use crate::store::Store;
use crate::wire::shortened;

/// The beginning of the keys of all dead letters.
pub const PREFIX: &str = "dead/";

/// Bytes of a message that are kept with it. A longer one is cut: it is kept to be looked at.
const PAYLOAD_BYTES_MAX: usize = 256 << 10;

/// A message that nobody could handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Why.
    pub reason: String,
    /// The queue that it came from.
    pub queue: String,
    /// Its run, if it could be read.
    pub run: Option<RunId>,
    /// When it was given up, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The message.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
}

/// Keeps a dead letter.
///
/// # Errors
/// When the store fails.
pub async fn publish(store: &dyn Store, mut letter: DeadLetter) -> Result<(), RecordError> {
    letter.payload.truncate(PAYLOAD_BYTES_MAX);
    letter.reason = shortened(&letter.reason);
    let key = format!("{PREFIX}{}", Uuid::now_v7());
    store.create(&key, encode(&key, &letter)?).await?;
    Ok(())
}

/// The dead letter after `revision`, with its own revision. What is of another make is passed over.
///
/// # Errors
/// When the store fails.
pub async fn next(store: &dyn Store, mut revision: u64) -> Result<Option<(u64, DeadLetter)>, RecordError> {
    while let Some(entry) = store.next_after(PREFIX, revision).await? {
        revision = entry.revision;
        if let Ok(letter) = decode(&entry) {
            return Ok(Some((revision, letter)));
        }
    }
    Ok(None)
}
