//! The accounting of candidates in a result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::outcome::Outcome;

/// The accounting: `candidates` is the sum of all other counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accounting {
    /// Keys that a rule selected.
    pub candidates: u64,
    /// Deleted.
    pub deleted: u64,
    /// Given a TTL.
    pub expired: u64,
    /// Given a shorter TTL, because a rule limits it.
    #[serde(default)]
    pub clamped: u64,
    /// No longer qualified when they were to be deleted.
    pub spared: u64,
    /// Hashes without a TTL of their own whose fields expire, when they were read or deleted.
    #[serde(default)]
    pub field_ttl: u64,
    /// No longer existed at deletion.
    pub vanished: u64,
    /// Match a protected pattern.
    pub protected: u64,
    /// Only reported.
    pub reported: u64,
    /// The action failed.
    pub failed: u64,
    /// Not tried, because the run ended before.
    pub unreached: u64,
    /// Tried, and whether they were changed is not known.
    pub unconfirmed: u64,
    /// Whether the sum is correct.
    pub balanced: bool,
}

impl Accounting {
    /// Whether every candidate has an outcome.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.outcomes() == self.candidates
    }

    /// Candidates that may not have been handled.
    #[must_use]
    pub fn undone(&self) -> u64 {
        self.failed.saturating_add(self.unreached).saturating_add(self.unconfirmed)
    }

    /// The number of candidates with `outcome`.
    pub fn count_of(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Deleted => &mut self.deleted,
            Outcome::Expired => &mut self.expired,
            Outcome::Clamped => &mut self.clamped,
            Outcome::Spared => &mut self.spared,
            Outcome::FieldTtl => &mut self.field_ttl,
            Outcome::Vanished => &mut self.vanished,
            Outcome::Failed => &mut self.failed,
            Outcome::Unreached => &mut self.unreached,
            Outcome::Unconfirmed => &mut self.unconfirmed,
        }
    }

    /// Adds the candidates and outcomes of `other`; whether the sum is correct is not set.
    pub fn add(&mut self, other: &Self) {
        self.candidates = self.candidates.saturating_add(other.candidates);
        self.protected = self.protected.saturating_add(other.protected);
        self.reported = self.reported.saturating_add(other.reported);
        for outcome in Outcome::VARIANTS {
            let (sum, more) = (self.count_of(*outcome), *other.clone().count_of(*outcome));
            *sum = sum.saturating_add(more);
        }
    }

    /// The sum of all outcomes.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.rows().iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// The outcomes by name, in display order.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 11] {
        [
            ("deleted", self.deleted),
            ("expired", self.expired),
            ("clamped", self.clamped),
            ("spared", self.spared),
            ("fieldTtl", self.field_ttl),
            ("vanished", self.vanished),
            ("protected", self.protected),
            ("reported", self.reported),
            ("failed", self.failed),
            ("unreached", self.unreached),
            ("unconfirmed", self.unconfirmed),
        ]
    }
}
