//! A rule of a policy as its author states it, before anything is concluded from it: what settings and messages carry.
//! What follows from it is decided in `shared/policy`.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use crate::glob::Pattern;

/// What a rule states. Fields that are absent are not stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedRule {
    /// The keys that it is for match one of these: the field `match`.
    pub matching: Vec<Pattern>,
    /// Keys that match one of these are not for this rule, but may be for a later one.
    pub except: Vec<Pattern>,
    /// The condition on keys that it is for, as a predicate: the field `where`.
    pub condition: Option<String>,
    /// The TTL that keys without one are given, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// How much is added to that TTL.
    pub jitter: Option<Jitter>,
    /// The longest TTL that keys may have, in milliseconds.
    pub max_ttl_ms: Option<u64>,
    /// Whether keys without TTL are right here.
    pub durable: bool,
    /// What else happens to keys.
    pub action: Option<RuleAction>,
    /// The largest share of its keys that may be deleted, 0 to 100; that of the job if it is absent.
    pub max_delete_percent: Option<u8>,
    /// Who answers for these keys, for people.
    pub owner: Option<String>,
}

/// An action that a rule states. That keys are given a TTL, or a shorter one, follows from other fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum RuleAction {
    /// They are deleted.
    Delete,
    /// They are reported.
    Report,
}

/// How much a TTL is prolonged, at random, so that keys which were given it together do not expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Jitter {
    /// Up to so many hundredths of the TTL.
    Percent(u8),
    /// Up to so many milliseconds.
    Ms(u64),
}

impl RuleAction {
    /// The names of all actions.
    pub const NAMES: [&str; 2] = ["delete", "report"];
}

impl Jitter {
    /// The jitter where none is stated.
    pub const DEFAULT: Self = Self::Percent(10);

    /// Its largest addition to a TTL of `ttl_ms`, in milliseconds.
    #[must_use]
    pub fn ms_of(self, ttl_ms: u64) -> u64 {
        match self {
            // In two parts, so that nothing overflows.
            Self::Percent(percent) => {
                let percent = u64::from(percent);
                (ttl_ms / 100).saturating_mul(percent).saturating_add(ttl_ms % 100 * percent / 100)
            }
            Self::Ms(ms) => ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_part_of_the_ttl_or_a_time() {
        assert_eq!(Jitter::Percent(10).ms_of(3_600_000), 360_000);
        assert_eq!(Jitter::Percent(10).ms_of(19), 1);
        assert_eq!(Jitter::Percent(100).ms_of(u64::MAX), u64::MAX);
        assert_eq!(Jitter::Ms(7).ms_of(1), 7);
        for name in RuleAction::NAMES {
            assert_eq!(name.parse::<RuleAction>().map(|action| action.to_string()), Ok(name.to_owned()));
        }
    }
}
