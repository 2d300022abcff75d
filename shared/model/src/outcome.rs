//! The outcomes of a candidate, and their codes in the ledger.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The outcome of one candidate in a reap batch, with its code in the ledger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "camelCase")]
#[repr(u8)]
pub enum Outcome {
    /// It was deleted.
    #[serde(rename = "d")]
    Deleted = b'd',
    /// It was given a TTL.
    #[serde(rename = "e")]
    Expired = b'e',
    /// Its TTL was shortened.
    #[serde(rename = "c")]
    Clamped = b'c',
    /// It no longer qualified.
    #[serde(rename = "s")]
    Spared = b's',
    /// It was a hash whose fields expire.
    #[serde(rename = "t")]
    FieldTtl = b't',
    /// It no longer existed.
    #[serde(rename = "v")]
    Vanished = b'v',
    /// The action failed; nothing was changed.
    #[serde(rename = "f")]
    Failed = b'f',
    /// The run ended before it was tried; nothing was changed.
    #[serde(rename = "u")]
    Unreached = b'u',
    /// It was tried, and whether it was changed is not known.
    #[serde(rename = "n")]
    Unconfirmed = b'n',
}

impl Outcome {
    /// Its code in the ledger.
    #[must_use]
    pub fn code(self) -> char {
        char::from(self as u8)
    }

    /// Whether the key was changed.
    #[must_use]
    pub fn is_changed(self) -> bool {
        matches!(self, Self::Deleted | Self::Expired | Self::Clamped)
    }

    /// Whether the candidate may not have been handled.
    #[must_use]
    pub fn is_undone(self) -> bool {
        matches!(self, Self::Failed | Self::Unreached | Self::Unconfirmed)
    }

    /// The outcome with the code `letter`.
    #[must_use]
    pub fn from_code(letter: u8) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|outcome| *outcome as u8 == letter)
    }
}

/// A list of outcomes on the wire: one letter each, because there are as many as candidates.
pub mod codes {
    use std::borrow::Cow;

    use serde::de::{Deserialize, Deserializer, Error, Unexpected};

    use super::Outcome;

    /// The codes of `outcomes`.
    #[must_use]
    pub fn text(outcomes: &[Outcome]) -> String {
        outcomes.iter().map(|outcome| outcome.code()).collect()
    }

    /// Deserializes the result of [`text`].
    ///
    /// # Errors
    /// If it is not text, or contains an unknown letter.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Outcome>, D::Error> {
        let letters = <Cow<'_, str>>::deserialize(deserializer)?;
        let unknown = || D::Error::invalid_value(Unexpected::Str(&letters), &"the letters of outcomes");
        letters.bytes().map(|letter| Outcome::from_code(letter).ok_or_else(unknown)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{GroupReceipt, Reason};
    use crate::wire;

    #[test]
    fn outcomes_travel_as_their_letters() {
        let outcomes = b"destvfunc".iter().map(|l| Outcome::from_code(*l).unwrap()).collect();
        let group = GroupReceipt { slot: 7, reason: Reason::Stale, outcomes };
        let bytes = wire::encode(&group).unwrap();
        assert!(bytes.ends_with(b"\x07\xa5Stale\xa9destvfunc"), "{}", bytes.escape_ascii());
        assert_eq!(wire::decode::<GroupReceipt>(&bytes).unwrap(), group);
        let begin = &bytes[..bytes.len() - 10];
        for garbage in [&b"\xa1x"[..], b"\x91\xa1d", b"\xa1\xff", b"\x07"] {
            let bytes = [begin, garbage].concat();
            assert!(wire::decode::<GroupReceipt>(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
