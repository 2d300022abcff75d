//! Classification by rules: what is done with a key that belongs to a rule. Cheap facts are looked at first; the others are
//! read only of keys that they leave undecided (`ruled_keys.rs`). Pure.

use keysweep_model::messages::{Action, Policy, Reason};
use keysweep_policy::{Effect, Fact, FactSet, Facts, KeyTtl, Rule, RuleKind};
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

    /// Whether the condition of the rule with this number asks for the users of keys.
    #[must_use]
    pub fn asks_users(&self, rule: u16) -> bool {
        let rule = self.rule_set.and_then(|rule_set| rule_set.rule(rule));
        rule.is_some_and(Rule::asks_users)
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
        let facts = known.with(key, Some(ttl));
        let effect = match rule.decide(&facts) {
            Effect::Undecided(needed) if needed.contains(Fact::User) => {
                rule.decide(&Facts { user_active: self.user_active(key), ..facts })
            }
            effect => effect,
        };
        let reason = match (effect, ttl) {
            (Effect::Nothing, _) => return RuleVerdict::Known(Classification::Keep(kept(rule, seen.ttl))),
            // No server knows the user of a key.
            (Effect::Undecided(facts), _) => {
                return RuleVerdict::Needs(facts.without(FactSet::only(Fact::User)));
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keysweep_model::glob::Pattern;
    use keysweep_model::key_template::KeyTemplate;
    use keysweep_model::messages::{RuleAction, Rules, StatedRule};
    use keysweep_policy::RuleSet;
    use keysweep_runtime::activity::{ActiveUsers, Activity, ActivityFilter};

    use super::*;

    #[test]
    fn a_user_is_looked_up_only_where_it_could_decide() {
        let rule = StatedRule {
            matching: vec![Pattern::new("cart:*").unwrap()],
            condition: Some("user = inactive and idle > 1d".to_owned()),
            action: Some(RuleAction::Delete),
            ..StatedRule::default()
        };
        let policy = Policy { rules: vec![rule.clone()], ..Policy::default() };
        let rules = Rules { policy: Some(policy), ..Rules::deleting(&[], &[]).unwrap() };
        let rule_set = RuleSet::new(&[rule]).unwrap();
        let mut users = ActiveUsers::gather();
        users.add(b"1");
        let who =
            ActivityFilter::Users(KeyTemplate::parse("cart:{user}:x").unwrap(), Arc::new(users.finish()));
        let activity = Activity { near_expiry_ms: 0, who };
        let check = |known: bool, key: &str, idle_ms: Option<u64>, expected: RuleVerdict| {
            let selector = Classifier::new(&rules, known.then_some(&activity)).with_rules(Some(&rule_set));
            let facts = KeyFacts { idle_ms, ..KeyFacts::default() };
            let verdict =
                selector.classify_by_rule(0, key.as_bytes(), &KeyState::only(Ttl::Persistent), &facts);
            assert_eq!(verdict, expected, "{key}, idle for {idle_ms:?}");
        };
        let (idle, nothing) = (Some(2 * 86_400_000), RuleVerdict::Needs(FactSet::EMPTY));
        let kept = RuleVerdict::Known(Classification::Keep(KeepReason::Lasting));
        let candidate = Classification::Candidate(Reason::Stale, Treatment::Reap);
        check(true, "cart:1:x", None, kept);
        check(true, "cart:2:x", None, RuleVerdict::Needs(FactSet::only(Fact::Idle)));
        check(true, "cart:2:x", idle, RuleVerdict::Known(candidate));
        check(true, "cart:2:x", Some(0), kept);
        // Its name has no user, and a run may not know who is active.
        check(true, "cart:2", idle, nothing);
        check(false, "cart:2:x", idle, nothing);
        check(false, "cart:1:x", Some(0), kept);
    }
}
