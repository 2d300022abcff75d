//! The outcomes of a candidate, and the letters that stand for them in the ledger.

use serde::{Deserialize, Serialize};

/// What became of one candidate in a reap batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// It was deleted.
    #[serde(rename = "d")]
    Deleted,
    /// It was given a TTL.
    #[serde(rename = "e")]
    Expired,
    /// It no longer qualified.
    #[serde(rename = "s")]
    Spared,
    /// It was gone.
    #[serde(rename = "v")]
    Vanished,
    /// It could not be done; nothing was changed.
    #[serde(rename = "f")]
    Failed,
    /// The run ended before it was tried; nothing was changed.
    #[serde(rename = "u")]
    Unreached,
    /// It was tried, and no answer says whether it was done.
    #[serde(rename = "n")]
    Unconfirmed,
}

impl Outcome {
    /// The word for it in outputs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::Spared => "spared",
            Self::Vanished => "vanished",
            Self::Failed => "failed",
            Self::Unreached => "unreached",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// The letter in the ledger.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Deleted => 'd',
            Self::Expired => 'e',
            Self::Spared => 's',
            Self::Vanished => 'v',
            Self::Failed => 'f',
            Self::Unreached => 'u',
            Self::Unconfirmed => 'n',
        }
    }

    /// The outcome that `letter` stands for.
    #[must_use]
    pub fn from_letter(letter: u8) -> Option<Self> {
        let all = [
            Self::Deleted,
            Self::Expired,
            Self::Spared,
            Self::Vanished,
            Self::Failed,
            Self::Unreached,
            Self::Unconfirmed,
        ];
        all.into_iter().find(|o| o.letter() as u32 == u32::from(letter))
    }
}
