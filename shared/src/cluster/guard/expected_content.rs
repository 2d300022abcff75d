//! By which a value is known again: what was saved of a candidate, or what its scanner saw.

use sha1::{Digest, Sha1};

use crate::messages::Fingerprint;

/// How scripts write a SHA-1.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What is known of one candidate that is only deleted if it has been saved, or if it still holds what it held at the scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedContent {
    /// It is a string with this SHA-1, which was saved; only that string is deleted.
    Text([u8; 20]),
    /// Its value was saved; only that value is deleted.
    Value {
        /// Bytes that DUMP answered.
        bytes: usize,
        /// The last of them, which hold a checksum.
        tail: [u8; 8],
    },
    /// It was not there. If it is now, it is another one.
    Absent,
    /// It could not be saved, or nothing is known of its value at the scan, so it is not deleted, and fails.
    Unsaved,
    /// It is left to a later call for the same group.
    Later,
}

impl ExpectedContent {
    /// The seal of a key that holds the string `text`. SHA-1 is what servers offer to scripts.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        Self::Text(Sha1::digest(text).into())
    }

    /// The seal of a key of which DUMP answered `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        // DUMP never answers less than a version and a checksum.
        value.last_chunk().map_or(Self::Absent, |tail| Self::Value { bytes: value.len(), tail: *tail })
    }

    /// The seal of a candidate of which `fingerprint` was taken at the scan.
    #[must_use]
    pub fn of_scan(fingerprint: &Fingerprint) -> Self {
        match *fingerprint {
            Fingerprint::Text { sha1, .. } => Self::Text(sha1),
            // A length that this machine cannot hold is that of no value.
            Fingerprint::Value { bytes, tail } => {
                usize::try_from(bytes).map_or(Self::Absent, |bytes| Self::Value { bytes, tail })
            }
            Fingerprint::TooLarge => Self::Unsaved,
            Fingerprint::Gone => Self::Absent,
        }
    }

    /// The command that tells what the key holds now.
    pub(super) fn lookup_command(&self) -> &'static [u8] {
        if self.is_text() { b"GET" } else { b"DUMP" }
    }

    /// Whether what was saved is a string, which GET reads.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether `value`, which that command answered, is what was saved.
    pub(super) fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Text(_) => Self::of_text(value) == *self,
            Self::Value { .. } => Self::of(value) == *self,
            Self::Absent | Self::Unsaved | Self::Later => false,
        }
    }

    /// How the script is told: a letter, and what belongs to it.
    pub(super) fn argument(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Text(digest) => (
                b'=',
                digest
                    .iter()
                    .flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
                    .collect(),
            ),
            Self::Value { bytes, tail } => (b':', [bytes.to_string().as_bytes(), b":", tail].concat()),
            // No value has this length.
            Self::Absent => (b':', b"0:".to_vec()),
            Self::Unsaved => (b'f', Vec::new()),
            Self::Later => (b'.', Vec::new()),
        }
    }
}
