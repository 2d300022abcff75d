//! What is made of a group that somebody sent: only one that a script can be called with.

use serde::Deserialize;

use super::{Group, Reason};
use crate::key::Key;
use crate::limits::GROUP_KEYS_MAX;

/// A group as it came.
#[derive(Deserialize)]
pub(super) struct Sent {
    #[serde(deserialize_with = "crate::slot::deserialize")]
    slot: u16,
    reason: Reason,
    keys: Vec<Key>,
    expires_at_ms: Vec<u64>,
}

impl TryFrom<Sent> for Group {
    type Error = String;

    fn try_from(sent: Sent) -> Result<Self, String> {
        let Sent { slot, reason, keys, expires_at_ms } = sent;
        let moments = if reason == Reason::Inactive { keys.len() } else { 0 };
        if keys.len() > GROUP_KEYS_MAX {
            return Err(format!(
                "a group of {} keys is larger than the limit of {GROUP_KEYS_MAX}",
                keys.len()
            ));
        }
        if expires_at_ms.len() != moments {
            return Err(format!("a group of {} keys with {} moments", keys.len(), expires_at_ms.len()));
        }
        Ok(Self { slot, reason, keys, expires_at_ms })
    }
}
