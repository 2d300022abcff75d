//! Classification by rules: what is done with a key that belongs to a rule. Cheap facts are looked at first; the others are
//! read only of keys that they leave undecided (`ruled_keys.rs`). Pure.

use keysweep_model::messages::{Action, Policy, Reason};
use keysweep_policy::{Effect, FactSet, KeyTtl, Rule, RuleKind};
use keysweep_redis::key_facts::KeyFacts;
use keysweep_redis::limits::EXPIRY_EXACT_BEFORE_MS;
use keysweep_redis::{KeyState, Ttl};

use crate::classify::{Classification, Classifier, KeepReason, Treatment};

/// What is known to be done with a key of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleVerdict {
    /// This.
    Known(Classification),
    /// It depends on these facts.
    Needs(FactSet),
}

impl Classifier<'_> {
    /// Whether expiry times are compared at the deletion: a rule deletes keys that have a TTL.
    pub(crate) fn compares_moments(&self) -> bool {
        let rules = self.rule_set.map(|rule_set| rule_set.rules()).unwrap_or_default();
        rules.iter().any(|rule| rule.takes_expiring() && rule.action().deletes())
    }

    /// The number of the rule that was added for the keys of no other.
    pub(crate) fn rest(&self) -> Option<u16> {
        self.rules.policy.as_ref().and_then(Policy::rest)
    }

    /// Whether a rule is about when or how often keys were accessed.
    pub(crate) fn asks_accesses(&self) -> bool {
        self.rule_set.is_some_and(|rule_set| rule_set.facts().is_about_accesses())
    }

    /// What is done with stale candidates of the rule with this number; without one, what the run does.
    pub(crate) fn action(&self, rule: Option<u16>) -> Action {
        let Some(rule) = rule else { return self.rules.action };
        self.rule_set.and_then(|rule_set| rule_set.rule(rule)).map_or(Action::Report, Rule::action)
    }

    /// `verdict` for the memory statistics: a reported key whose rule would only see to its TTL would free nothing.
    pub(crate) fn freeing(&self, rule: u16, verdict: Classification) -> Classification {
        let Classification::Candidate(reason, Treatment::Reported) = verdict else { return verdict };
        let action = self.action(Some(rule));
        match reason != Reason::LongTtl && (action.deletes() || !action.writes()) {
            true => verdict,
            false => Classification::Keep(KeepReason::Lasting),
        }
    }

    /// Classifies a key of the rule with this number by its lookup and what else is known of it.
    pub(crate) fn classify_by_rule(
        &self,
        rule: u16,
        key: &[u8],
        seen: &KeyState,
        known: &KeyFacts,
    ) -> RuleVerdict {
        let Some(rule) = self.rule_set.and_then(|rule_set| rule_set.rule(rule)) else {
            return RuleVerdict::Known(Classification::Keep(KeepReason::Normal));
        };
        let ttl = match seen.ttl {
            Ttl::Gone | Ttl::Moved => return RuleVerdict::Known(Classification::Gone),
            Ttl::Persistent | Ttl::FieldTtls => KeyTtl::None,
            Ttl::Remaining(ms) => KeyTtl::Ms(ms),
        };
        let effect = rule.decide(&known.with(key, Some(ttl)));
        let reason = match (effect, ttl) {
            (Effect::Nothing, _) => return RuleVerdict::Known(Classification::Keep(kept(rule, seen.ttl))),
            (Effect::Undecided(facts), _) => return RuleVerdict::Needs(facts),
            (Effect::Clamp { .. }, _) => Reason::LongTtl,
            (Effect::Expire(_) | Effect::Delete | Effect::Report, KeyTtl::None) => Reason::Stale,
            (Effect::Expire(_) | Effect::Delete | Effect::Report, KeyTtl::Ms(_)) => Reason::Expiring,
        };
        if seen.ttl == Ttl::FieldTtls {
            return RuleVerdict::Known(Classification::Keep(KeepReason::FieldTtl));
        }
        let dry_run = self.rules.policy.as_ref().is_none_or(|policy| policy.dry_run);
        let treatment = Treatment::of(key, !dry_run && effect != Effect::Report);
        // At the deletion, the reaper could not compare such an expiry time exactly.
        let is_exact = seen.expires_at_ms.is_some_and(|at_ms| at_ms < EXPIRY_EXACT_BEFORE_MS);
        if reason == Reason::Expiring && treatment == Treatment::Reap && !is_exact {
            return RuleVerdict::Known(Classification::Keep(KeepReason::Normal));
        }
        RuleVerdict::Known(Classification::Candidate(reason, treatment))
    }
}

/// Why a key with which its rule does nothing stays.
fn kept(rule: &Rule, ttl: Ttl) -> KeepReason {
    match ttl {
        Ttl::Persistent if rule.kind() == RuleKind::Durable => KeepReason::Durable,
        Ttl::Persistent => KeepReason::Lasting,
        _ => KeepReason::Normal,
    }
}
