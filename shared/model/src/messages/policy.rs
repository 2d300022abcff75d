//! The rules of a run as messages carry them, and what a scan found of each.

use serde::{Deserialize, Serialize};

use super::inactive::InactiveRule;
use super::spec::Rules;
use super::stated_rule::{RuleAction, StatedRule};
use crate::glob::Pattern;

/// The rules of a run, in their order. A key belongs to the first one that matches its name. What follows from a rule is
/// decided in `shared/policy`, which also bounds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The rules as they are stated.
    pub rules: Vec<StatedRule>,
    /// Whether they are only reported.
    pub dry_run: bool,
    /// Whether the last one was added for all keys that belong to no other, to count them.
    #[serde(default)]
    pub has_rest: bool,
    /// How it is known which users are active; `None` if no condition asks, or if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<InactiveRule>,
    /// So many keys that break a rule are named, of each rule and reason: at most [`crate::limits::EXAMPLES_MAX`].
    #[serde(default)]
    pub examples: u8,
}

impl Rules {
    /// How it is known which users are active: for keys of inactive users, or for conditions of rules.
    #[must_use]
    pub fn activity(&self) -> Option<&InactiveRule> {
        let of_rules = || self.policy.as_ref().and_then(|policy| policy.activity.as_ref());
        self.inactive.as_ref().or_else(of_rules)
    }

    /// Sets it; `None` if it is not known.
    pub fn set_activity(&mut self, rule: Option<InactiveRule>) {
        match &mut self.policy {
            Some(policy) => policy.activity = rule,
            None => self.inactive = rule,
        }
    }
}

impl Policy {
    /// Whether keys may be changed.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.dry_run && self.rules.iter().any(StatedRule::writes)
    }

    /// Whether keys may be deleted.
    #[must_use]
    pub fn deletes(&self) -> bool {
        !self.dry_run && self.rules.iter().any(StatedRule::deletes)
    }

    /// The number of the rule that was added for the keys of no other, counted from 0.
    #[must_use]
    pub fn rest(&self) -> Option<u16> {
        let last = self.rules.len().checked_sub(1).filter(|_| self.has_rest)?;
        u16::try_from(last).ok()
    }

    /// The patterns of all keys that a rule may be for.
    #[must_use]
    pub fn patterns(&self) -> Vec<Pattern> {
        self.rules.iter().flat_map(|rule| &rule.matching).cloned().collect()
    }
}

impl StatedRule {
    /// Whether it changes keys.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.deletes() || self.ttl_ms.is_some() || self.max_ttl_ms.is_some()
    }

    /// Whether it deletes keys.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.action == Some(RuleAction::Delete)
    }
}

/// What a scan task, or all of a run, found of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCounts {
    /// The number of the rule, from 0.
    pub rule: u16,
    /// Its keys that existed when they were checked.
    pub scanned: u64,
    /// Those without TTL.
    pub without_ttl: u64,
    /// Candidates that are only reported.
    pub reported: u64,
    /// Candidates with a name longer than [`crate::limits::KEY_BYTES_MAX`].
    pub too_long: u64,
    /// Hashes without a key TTL whose fields expire. They do not count as without TTL.
    pub field_ttl: u64,
    /// Keys of which a fact that could decide is unknown. Nothing is done with them.
    pub undecided: u64,
}

impl RuleCounts {
    /// Nothing of the rule with this number.
    #[must_use]
    pub fn of(rule: u16) -> Self {
        Self { rule, ..Self::default() }
    }

    /// Adds what was found of the same rule elsewhere.
    pub fn add(&mut self, other: &Self) {
        let Self { rule: _, scanned, without_ttl, reported, too_long, field_ttl, undecided } = *other;
        for (sum, more) in [
            (&mut self.scanned, scanned),
            (&mut self.without_ttl, without_ttl),
            (&mut self.reported, reported),
            (&mut self.too_long, too_long),
            (&mut self.field_ttl, field_ttl),
            (&mut self.undecided, undecided),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_writes_only_what_a_rule_states() {
        let rule = |change: fn(&mut StatedRule)| {
            let mut rule = StatedRule::default();
            change(&mut rule);
            rule
        };
        let check = |change: fn(&mut StatedRule), expected: (bool, bool)| {
            let durable = rule(|rule| rule.durable = true);
            let policy = Policy { rules: vec![durable, rule(change)], ..Policy::default() };
            assert_eq!((policy.writes(), policy.deletes()), expected, "{policy:?}");
            let dry = Policy { dry_run: true, ..policy };
            assert!(!dry.writes() && !dry.deletes());
        };
        check(|rule| rule.durable = true, (false, false));
        check(|rule| rule.action = Some(RuleAction::Report), (false, false));
        check(|rule| rule.ttl_ms = Some(1_000), (true, false));
        check(|rule| rule.max_ttl_ms = Some(1_000), (true, false));
        check(|rule| rule.action = Some(RuleAction::Delete), (true, true));
    }
}
