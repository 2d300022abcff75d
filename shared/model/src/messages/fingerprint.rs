//! Fingerprints that identify the value that a key had at the scan. For a string, the server computes a SHA-1; for
//! other values, the fingerprint is the checksum in the reply of DUMP.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The fingerprint of a candidate's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// A string.
    Text {
        /// Its length in bytes.
        bytes: u64,
        /// Its SHA-1.
        sha1: [u8; 20],
    },
    /// A value of another type.
    Value {
        /// The length of DUMP's reply in bytes.
        bytes: u64,
        /// The last bytes of DUMP's reply, which contain a CRC-64.
        tail: [u8; 8],
    },
    /// The value takes more than [`crate::limits::VERIFY_VALUE_BYTES_MAX`], or the server does not return it.
    TooLarge,
    /// The key no longer existed, or had a value of another type, when its value was read.
    Gone,
}

impl Fingerprint {
    /// The bytes that must be read to compare the value.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text { bytes, .. } | Self::Value { bytes, .. } => *bytes,
            Self::TooLarge | Self::Gone => 0,
        }
    }
}

/// Serialized as bytes, because there are many: a checksum followed by the length; one byte or none where there is no
/// checksum.
impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let with = |checksum: &[u8], bytes: u64| [checksum, &bytes.to_be_bytes()].concat();
        let bytes = match self {
            Self::Text { bytes, sha1 } => with(sha1, *bytes),
            Self::Value { bytes, tail } => with(tail, *bytes),
            Self::TooLarge => vec![0],
            Self::Gone => Vec::new(),
        };
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(FingerprintVisitor)
    }
}

struct FingerprintVisitor;

impl Visitor<'_> for FingerprintVisitor {
    type Value = Fingerprint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint of 0, 1, 16 or 28 bytes")
    }

    fn visit_bytes<E: Error>(self, sent: &[u8]) -> Result<Self::Value, E> {
        if let Some((checksum, length)) = sent.split_last_chunk() {
            let bytes = u64::from_be_bytes(*length);
            if let Ok(sha1) = checksum.try_into() {
                return Ok(Fingerprint::Text { bytes, sha1 });
            }
            if let Ok(tail) = checksum.try_into() {
                return Ok(Fingerprint::Value { bytes, tail });
            }
        }
        match sent {
            [] => Ok(Fingerprint::Gone),
            [_] => Ok(Fingerprint::TooLarge),
            _ => Err(E::invalid_length(sent.len(), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Alias, BatchId, NodeId, RunId, TaskId};
    use crate::key::Key;
    use crate::messages::{Group, ReapBatch, Reason};
    use crate::wire::{FORMAT, FORMAT_NODE_LEDGERS, FORMAT_VERIFIED, decode, encode, encode_as};

    /// Workers of earlier versions would delete values that were rewritten in the meantime, or count keys that were deleted
    /// with a node ledger as vanished: they read format 1, in rows of four.
    #[test]
    fn earlier_versions_do_not_read_batches_with_fingerprints_or_node_ledgers() {
        type Earlier = (u16, Reason, Vec<Key>, Vec<u64>);
        let group = Group {
            slot: 7,
            reason: Reason::Stale,
            keys: vec![Key::new(*b"k")],
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        assert!(decode::<Earlier>(&encode(&group).unwrap()).is_ok());
        let batch = |group: Group| ReapBatch {
            run: RunId::new(),
            batch: BatchId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new("n"),
            not_before_ms: 0,
            not_after_ms: 1,
            groups: vec![group],
            scan_generation: 0,
            ledger_keys: 0,
            rule: None,
        };
        let plain = batch(group.clone());
        let verified = batch(Group { fingerprints: vec![Fingerprint::Gone], ..group });
        let recorded = ReapBatch { ledger_keys: 100, ..verified.clone() };
        let batches = [(plain, FORMAT), (verified, FORMAT_VERIFIED), (recorded, FORMAT_NODE_LEDGERS)];
        for (batch, format) in batches {
            let sent = encode_as(batch.format(), &batch).unwrap();
            assert_eq!(sent[0], format);
            assert_eq!(decode::<ReapBatch>(&sent).unwrap(), batch);
        }
    }

    #[test]
    fn fingerprints_round_trip_and_other_lengths_are_rejected() {
        let all = [
            Fingerprint::Text { bytes: u64::MAX, sha1: [7; 20] },
            Fingerprint::Value { bytes: 3, tail: [9; 8] },
            Fingerprint::TooLarge,
            Fingerprint::Gone,
        ];
        assert_eq!(decode::<[Fingerprint; 4]>(&encode(&all).unwrap()).unwrap(), all);
        for length in (2..40).filter(|length| ![16, 28].contains(length)) {
            let sent = encode(&serde_bytes::ByteBuf::from(vec![1; length])).unwrap();
            assert!(decode::<Fingerprint>(&sent).is_err(), "{length}");
        }
    }
}
