//! Validates a group that was received: it must be one that a script can be called with.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::{Fingerprint, Group, Reason};
use crate::key::Key;
use crate::limits::{BATCH_KEYS_MAX, GROUP_KEYS_MAX};

/// A group as received.
#[derive(Deserialize)]
pub(super) struct GroupRecord {
    #[serde(deserialize_with = "crate::slot::deserialize")]
    slot: u16,
    reason: Reason,
    keys: Vec<Key>,
    expires_at_ms: Vec<u64>,
    #[serde(default)]
    fingerprints: Vec<Fingerprint>,
}

impl TryFrom<GroupRecord> for Group {
    type Error = String;

    fn try_from(sent: GroupRecord) -> Result<Self, String> {
        let GroupRecord { slot, reason, keys, expires_at_ms, fingerprints } = sent;
        let moments = if reason.is_timed() { keys.len() } else { 0 };
        if keys.is_empty() {
            return Err("a group without keys".to_owned());
        }
        if keys.len() > GROUP_KEYS_MAX {
            return Err(format!(
                "a group of {} keys is larger than the limit of {GROUP_KEYS_MAX}",
                keys.len()
            ));
        }
        if expires_at_ms.len() != moments {
            return Err(format!("a group of {} keys with {} moments", keys.len(), expires_at_ms.len()));
        }
        if ![0, keys.len()].contains(&fingerprints.len()) {
            return Err(format!("a group of {} keys with {} fingerprints", keys.len(), fingerprints.len()));
        }
        Ok(Self { slot, reason, keys, expires_at_ms, fingerprints })
    }
}

/// Deserializes the groups of a batch: no more keys than a batch may contain, whatever the message claims.
pub(super) fn of_a_batch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Group>, D::Error> {
    deserializer.deserialize_seq(Groups)
}

struct Groups;

impl<'de> Visitor<'de> for Groups {
    type Value = Vec<Group>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "groups of 1 to {BATCH_KEYS_MAX} keys together")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut groups: A) -> Result<Self::Value, A::Error> {
        let (mut read, mut keys) = (Vec::new(), 0);
        while let Some(group) = groups.next_element::<Group>()? {
            keys += group.keys.len();
            if keys > BATCH_KEYS_MAX {
                return Err(A::Error::custom(format!("a batch of more than {BATCH_KEYS_MAX} keys")));
            }
            read.push(group);
        }
        if read.is_empty() { Err(A::Error::custom("a batch without groups")) } else { Ok(read) }
    }
}
