//! The beginning of a key's name, as it is kept of some keys.

use keysweep_model::printable::{Printable, beginning};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use xxhash_rust::xxh3::xxh3_64;

/// The beginning of a name. The order is that of hashes, so that it does not depend on what names have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Excerpt {
    /// Of the whole name.
    pub(crate) hash: u64,
    /// The bytes of the whole name.
    length: u64,
    beginning: ByteBuf,
}

impl Excerpt {
    /// The hash of a name.
    #[inline]
    pub(crate) fn hash(name: &[u8]) -> u64 {
        xxh3_64(name)
    }

    /// The first `bytes_max` bytes of a name.
    pub(crate) fn of(name: &[u8], bytes_max: usize) -> Self {
        let beginning = ByteBuf::from(&name[..name.len().min(bytes_max)]);
        Self { hash: Self::hash(name), length: name.len() as u64, beginning }
    }

    /// The name, if nothing of it was cut.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.beginning.len() as u64 == self.length).then_some(self.beginning.as_slice())
    }

    /// The text to show: unprintable bytes are escaped, and a name that was cut ends with `…`.
    pub(crate) fn text(&self) -> String {
        match self.whole() {
            Some(name) => Printable(name).to_string(),
            // A character that was cut is left out.
            None => {
                format!("{}…", Printable(beginning(&self.beginning, self.beginning.len().saturating_sub(4))))
            }
        }
    }

    /// Whether it can be that of a name, cut to `bytes_max` bytes.
    pub(crate) fn is_possible(&self, bytes_max: usize) -> bool {
        self.beginning.len() <= bytes_max
    }
}
