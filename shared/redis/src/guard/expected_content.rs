//! The expected content of a candidate: what was backed up, or what the scanner saw.

use keysweep_model::messages::Fingerprint;
use sha1::{Digest, Sha1};

/// The digits of a SHA-1 as scripts write it.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What is known of a candidate that is deleted only if it was backed up, or only if it is unchanged since the scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedContent {
    /// A string with this SHA-1 was backed up; only that string is deleted.
    Text([u8; 20]),
    /// The value was backed up; only that value is deleted.
    Value {
        /// Length of the DUMP reply in bytes.
        bytes: usize,
        /// Its last bytes, which contain a checksum.
        tail: [u8; 8],
    },
    /// The key did not exist. If it exists now, it is another value.
    Absent,
    /// The value could not be backed up, or is unknown since the scan: the key is not deleted, and the candidate fails.
    Unsaved,
}

impl ExpectedContent {
    /// The expected content of a key with the string `text`. SHA-1 is the hash that servers offer to scripts.
    #[must_use]
    pub fn of_text(text: &[u8]) -> Self {
        Self::Text(Sha1::digest(text).into())
    }

    /// The expected content of a key with the DUMP reply `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        // A DUMP reply has at least a version and a checksum.
        value.last_chunk().map_or(Self::Absent, |tail| Self::Value { bytes: value.len(), tail: *tail })
    }

    /// The expected content of a candidate with this `fingerprint` from the scan.
    #[must_use]
    pub fn of_scan(fingerprint: &Fingerprint) -> Self {
        match *fingerprint {
            Fingerprint::Text { sha1, .. } => Self::Text(sha1),
            // A length beyond this machine's `usize` matches no value.
            Fingerprint::Value { bytes, tail } => {
                usize::try_from(bytes).map_or(Self::Absent, |bytes| Self::Value { bytes, tail })
            }
            Fingerprint::TooLarge => Self::Unsaved,
            Fingerprint::Gone => Self::Absent,
        }
    }

    /// The command that reads the current value.
    pub(super) fn lookup_command(&self) -> &'static [u8] {
        if self.is_text() { b"GET" } else { b"DUMP" }
    }

    /// Whether the saved value is a string, which GET reads.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether `value`, the reply to that command, is the expected content.
    pub(super) fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Text(_) => Self::of_text(value) == *self,
            Self::Value { .. } => Self::of(value) == *self,
            Self::Absent | Self::Unsaved => false,
        }
    }

    /// Its arguments for the script: a letter, and the value that belongs to it.
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
        }
    }
}
