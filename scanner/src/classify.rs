//! Classification: which listed keys are looked up, and which of those become candidates. Pure.

use keysweep_model::key;
use keysweep_model::key_template::User;
use keysweep_model::limits::KEY_BYTES_MAX;
use keysweep_model::messages::{ActivityRule, Reason, Rules};
use keysweep_policy::RuleSet;
use keysweep_redis::limits::EXPIRY_EXACT_BEFORE_MS;
use keysweep_redis::{KeyState, LookupKind, Ttl};
use keysweep_runtime::activity::{Activity, ActivityFilter};

/// The classification of a key that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classification {
    /// The key is gone and is not counted.
    Gone,
    /// The key stays, because it has a TTL.
    Keep(KeepReason),
    /// The key qualifies for the run's action.
    Candidate(Reason, Treatment),
}

/// Why a key stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// The run does not look for inactive users.
    Normal,
    /// The key belongs to an active user.
    Active,
    /// The key belongs to an inactive user but expires soon without help.
    NearExpiry,
    /// The key's user or idle time cannot be determined.
    UnknownUser,
    /// The key is a hash without a key TTL whose fields expire.
    FieldTtl,
    /// The key has no TTL, and its rule says that this is right.
    Durable,
    /// The key has no TTL, and its rule does nothing with it.
    Lasting,
    /// What its rule does depends on a fact that is unknown.
    Undecided,
}

/// What happens to a key that qualifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The key stays, because a protected pattern matches it.
    Protected,
    /// The key is only reported.
    Reported,
    /// The key is too long for a message.
    TooLong,
    /// The key is sent to a reaper.
    Reap,
}

/// Classifies keys by the rules of a run.
pub struct Classifier<'a> {
    pub(crate) rules: &'a Rules,
    activity: Option<&'a Activity>,
    /// The rules of a job that has rules; see `by_rule.rs`.
    pub(crate) rule_set: Option<&'a RuleSet>,
}

impl<'a> Classifier<'a> {
    /// Applies `rules`. Inactive users' keys are detected only if `activity` is given.
    #[must_use]
    pub fn new(rules: &'a Rules, activity: Option<&'a Activity>) -> Self {
        Self { rules, activity, rule_set: None }
    }

    /// Applies the rules in `rule_set`, if there are any.
    #[must_use]
    pub fn with_rules(self, rule_set: Option<&'a RuleSet>) -> Self {
        Self { rule_set, ..self }
    }

    /// The rules, if there are any.
    #[must_use]
    pub fn rule_set(&self) -> Option<&'a RuleSet> {
        self.rule_set
    }

    /// What must be looked up for each key.
    #[must_use]
    pub fn lookup_kind(&self) -> LookupKind {
        match self.activity.filter(|_| self.rule_set.is_none()).map(|activity| &activity.who) {
            None if self.compares_moments() => LookupKind::Expiry,
            None => LookupKind::Ttl,
            Some(ActivityFilter::Users(..)) => LookupKind::Expiry,
            Some(ActivityFilter::Idle(_)) => LookupKind::ExpiryAndIdle,
        }
    }

    /// Whether the key is looked up: a pattern matches it, and it is neither keysweep's own nor one that the run reads
    /// its active users from.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        self.rules.wants(key) || self.rule_of(key).is_some()
    }

    /// The number of the rule that the key belongs to; `None` without rules.
    #[inline]
    #[must_use]
    pub fn rule_of(&self, key: &[u8]) -> Option<u16> {
        let rule_set = self.rule_set?;
        if key::is_own(key) || self.rules.is_source(key) { None } else { rule_set.of(key) }
    }

    /// Whether a protected pattern keeps the key.
    #[must_use]
    pub fn protects(&self, key: &[u8]) -> bool {
        self.rules.protects(key)
    }

    /// Classifies a wanted key by its lookup. The slot of the key must not have moved.
    #[inline]
    #[must_use]
    pub fn classify(&self, key: &[u8], seen: &KeyState) -> Classification {
        let left_ms = match seen.ttl {
            Ttl::Gone | Ttl::Moved => return Classification::Gone,
            // This holds for the keys of all users.
            Ttl::Persistent => return Classification::Candidate(Reason::Stale, self.treatment(key)),
            Ttl::FieldTtls => return Classification::Keep(KeepReason::FieldTtl),
            Ttl::Remaining(ms) => ms,
        };
        let Some(activity) = self.activity else { return Classification::Keep(KeepReason::Normal) };
        match self.user(activity, key, seen) {
            User::Active => Classification::Keep(KeepReason::Active),
            User::Unknown => Classification::Keep(KeepReason::UnknownUser),
            User::Inactive if left_ms <= activity.near_expiry_ms => {
                Classification::Keep(KeepReason::NearExpiry)
            }
            // At the deletion, the reaper could not compare such an expiry time exactly.
            User::Inactive if seen.expires_at_ms.is_some_and(|at_ms| at_ms >= EXPIRY_EXACT_BEFORE_MS) => {
                Classification::Keep(KeepReason::Normal)
            }
            User::Inactive => Classification::Candidate(Reason::Inactive, self.treatment(key)),
        }
    }

    /// A number for the user of a key; if several ids can be read from the key, an active one. `None` if the key has no
    /// id, or if the run uses idle times.
    #[must_use]
    pub fn user_number(&self, key: &[u8]) -> Option<u64> {
        let ActivityFilter::Users(template, users) = &self.activity?.who else { return None };
        let (mut first, mut found) = (None, None);
        template.user(key, |id| {
            first.get_or_insert(id);
            let active = users.has(id);
            found = found.or(active.then_some(id));
            active
        });
        found.or(first).map(|id| users.number(id))
    }

    /// Whether the user of a key is active; `None` if that is not known.
    #[must_use]
    pub fn user_active(&self, key: &[u8]) -> Option<bool> {
        self.activity.and_then(|activity| activity.user_active(key))
    }

    /// Whether a sample of `users` users may contain no active one; see [`keysweep_model::messages::SampledUsers`].
    #[must_use]
    pub fn may_have_no_active(&self, users: u64) -> bool {
        match self.rules.activity().map(|rule| &rule.activity) {
            Some(ActivityRule::Users { matching: Some(matching), .. }) => {
                matching.allow_no_active || matching.sampled.may_have_no_active(users)
            }
            _ => true,
        }
    }

    fn user(&self, activity: &Activity, key: &[u8], seen: &KeyState) -> User {
        match &activity.who {
            ActivityFilter::Users(template, users) => template.user(key, |id| users.has(id)),
            ActivityFilter::Idle(threshold_ms) => match seen.idle_ms {
                None => User::Unknown,
                Some(idle_ms) if idle_ms >= *threshold_ms => User::Inactive,
                Some(_) => User::Active,
            },
        }
    }

    fn treatment(&self, key: &[u8]) -> Treatment {
        // Protection has precedence.
        if self.protects(key) { Treatment::Protected } else { Treatment::of(key, self.rules.action.writes()) }
    }
}

impl Treatment {
    /// The treatment of a key that nothing protects, in a run that `writes` or only reports.
    pub(crate) fn of(key: &[u8], writes: bool) -> Self {
        if !writes {
            Self::Reported
        } else if key.len() > KEY_BYTES_MAX {
            Self::TooLong
        } else {
            Self::Reap
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keysweep_model::glob::Pattern;
    use keysweep_model::key_template::KeyTemplate;
    use keysweep_model::messages::Action;
    use keysweep_runtime::activity::ActiveUsers;

    use super::*;

    fn rules(action: Action) -> Rules {
        let rules = Rules::deleting(&["permissions:*", "p?"], &["permissions:system:*"]).unwrap();
        Rules { action, ..rules }
    }

    #[test]
    fn keys_that_match_and_are_not_own_are_wanted() {
        let rules = Rules { patterns: vec![Pattern::new("*").unwrap()], ..rules(Action::Delete) };
        assert!(Classifier::new(&rules, None).wants(b""));
        assert!(!Classifier::new(&rules, None).wants(b"keysweep:ledger:{x}:1"));
    }

    const STALE: fn(Treatment) -> Classification =
        |treatment| Classification::Candidate(Reason::Stale, treatment);
    const INACTIVE: fn(Treatment) -> Classification =
        |treatment| Classification::Candidate(Reason::Inactive, treatment);

    #[test]
    fn classifies_keys_by_ttl() {
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let (selector, key) = (Classifier::new(&rules, None), key.as_bytes());
            assert!(selector.wants(key));
            let (start, verdict) = (&key[..key.len().min(30)], selector.classify(key, &KeyState::only(ttl)));
            assert_eq!(verdict, expected, "{} {ttl:?}", start.escape_ascii());
        };
        let normal = Classification::Keep(KeepReason::Normal);
        check(Action::Delete, "permissions:1", Ttl::Persistent, STALE(Treatment::Reap));
        check(Action::Delete, "px", Ttl::Remaining(0), normal);
        check(Action::Delete, "px", Ttl::Gone, Classification::Gone);
        check(Action::Delete, "px", Ttl::FieldTtls, Classification::Keep(KeepReason::FieldTtl));
        check(Action::Report, "px", Ttl::Persistent, STALE(Treatment::Reported));
        check(Action::Report, "permissions:system:1", Ttl::Persistent, STALE(Treatment::Protected));
        check(Action::Delete, "permissions:system:1", Ttl::Persistent, STALE(Treatment::Protected));
        check(Action::Delete, "permissions:system:1", Ttl::Remaining(9), normal);
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX - 11));
        check(Action::Delete, &long, Ttl::Persistent, STALE(Treatment::TooLong));
        check(Action::Delete, &long[..KEY_BYTES_MAX], Ttl::Persistent, STALE(Treatment::Reap));
    }

    fn activity(active: &[&str]) -> Activity {
        let mut users = ActiveUsers::gather();
        active.iter().for_each(|id| users.add(id.as_bytes()));
        let template = KeyTemplate::parse("permissions:{user}:*").unwrap();
        Activity { near_expiry_ms: 1_000, who: ActivityFilter::Users(template, Arc::new(users.finish())) }
    }

    #[test]
    fn classifies_keys_by_user() {
        let activity = activity(&["alice", "a:b"]);
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let selector = Classifier::new(&rules, Some(&activity));
            let verdict = selector.classify(key.as_bytes(), &KeyState::only(ttl));
            assert_eq!(verdict, expected, "{key} {ttl:?}");
        };
        let stays = Classification::Keep;
        check(Action::Delete, "permissions:bob:x", Ttl::Remaining(1_001), INACTIVE(Treatment::Reap));
        check(Action::Delete, "permissions:bob:x", Ttl::Remaining(1_000), stays(KeepReason::NearExpiry));
        check(Action::Delete, "permissions:bob:x", Ttl::Persistent, STALE(Treatment::Reap));
        check(Action::Delete, "permissions:bob:x", Ttl::Gone, Classification::Gone);
        check(Action::Delete, "permissions:bob:x", Ttl::Moved, Classification::Gone);
        check(Action::Report, "permissions:bob:x", Ttl::Remaining(1_001), INACTIVE(Treatment::Reported));
        check(Action::Delete, "permissions:system:x", Ttl::Remaining(1_001), INACTIVE(Treatment::Protected));
        check(Action::Delete, "permissions:alice:x", Ttl::Remaining(1_001), stays(KeepReason::Active));
        check(Action::Delete, "permissions:alice:x", Ttl::Persistent, STALE(Treatment::Reap));
        check(Action::Delete, "permissions:a:b:c", Ttl::Remaining(1_001), stays(KeepReason::Active));
        check(Action::Delete, "permissions:a:c:b", Ttl::Remaining(1_001), INACTIVE(Treatment::Reap));
        check(Action::Delete, "permissions:bob", Ttl::Remaining(1_001), stays(KeepReason::UnknownUser));
    }

    #[test]
    fn expiry_time_beyond_exact_range_makes_no_candidate() {
        let (activity, rules) = (activity(&["alice"]), rules(Action::Delete));
        let selector = Classifier::new(&rules, Some(&activity));
        let check = |at_ms: u64, expected| {
            let seen =
                KeyState { expires_at_ms: Some(at_ms), ..KeyState::only(Ttl::Remaining(at_ms - 1_000)) };
            assert_eq!(selector.classify(b"permissions:bob:x", &seen), expected, "{at_ms}");
        };
        check((1 << 53) - 1, INACTIVE(Treatment::Reap));
        check(1 << 53, Classification::Keep(KeepReason::Normal));
        check(i64::MAX.unsigned_abs(), Classification::Keep(KeepReason::Normal));
    }

    #[test]
    fn classifies_keys_by_idle_time() {
        let activity = Activity { near_expiry_ms: 1_000, who: ActivityFilter::Idle(60_000) };
        let rules = rules(Action::Expire { ttl_ms: 1, jitter_ms: 0 });
        let selector = Classifier::new(&rules, Some(&activity));
        let check = |key: &str, idle_ms, ttl, expected| {
            let seen = KeyState { idle_ms, ..KeyState::only(ttl) };
            assert_eq!(selector.classify(key.as_bytes(), &seen), expected, "{idle_ms:?} {ttl:?}");
        };
        check("px", Some(60_000), Ttl::Remaining(1_001), INACTIVE(Treatment::Reap));
        check("px", Some(59_000), Ttl::Remaining(1_001), Classification::Keep(KeepReason::Active));
        check("px", Some(60_000), Ttl::Remaining(1_000), Classification::Keep(KeepReason::NearExpiry));
        check("px", None, Ttl::Remaining(1_001), Classification::Keep(KeepReason::UnknownUser));
        check("px", Some(60_000), Ttl::Persistent, STALE(Treatment::Reap));
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX));
        check(&long, Some(60_000), Ttl::Remaining(1_001), INACTIVE(Treatment::TooLong));
    }
}
