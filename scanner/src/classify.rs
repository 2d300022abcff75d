//! Selection: which listed keys are looked at, and which of those become candidates. Pure.

use shared::activity::{Activity, ActivityFilter};
use shared::cluster::{KeyState, LookupKind, Ttl};
use shared::key_template::User;
use shared::limits::{EXPIRY_EXACT_BEFORE_MS, KEY_BYTES_MAX};
use shared::messages::{Action, ActivityRule, Reason, Rules};

/// What a key turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classification {
    /// It is gone; it does not count at all.
    Gone,
    /// It has a TTL, and stays.
    Keep(KeepReason),
    /// It qualifies.
    Candidate(Reason, Treatment),
}

/// Why a key with a TTL stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// As all such keys do, where inactive users are not looked for.
    Normal,
    /// It is an active user's.
    Active,
    /// It is an inactive user's, and expires soon by itself.
    NearExpiry,
    /// Nothing tells whose it is, or how long nobody has used it.
    UnknownUser,
    /// It is a hash without a TTL of its own, whose fields expire.
    FieldTtl,
}

/// What is to become of a key that qualifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// A protected pattern keeps it.
    Protected,
    /// It is only reported.
    Reported,
    /// It is too long for a message.
    TooLong,
    /// It is handed to a reaper.
    Candidate,
}

/// The rules of a run, ready to be applied.
pub struct Classifier<'a> {
    rules: &'a Rules,
    activity: Option<&'a Activity>,
}

impl<'a> Classifier<'a> {
    /// Applies `rules`; inactive users' keys are looked for if `activity` says who is active.
    #[must_use]
    pub fn new(rules: &'a Rules, activity: Option<&'a Activity>) -> Self {
        Self { rules, activity }
    }

    /// What has to be asked about a key.
    #[must_use]
    pub fn ask(&self) -> LookupKind {
        match self.activity.map(|activity| &activity.who) {
            None => LookupKind::Ttl,
            Some(ActivityFilter::Users(..)) => LookupKind::Expiry,
            Some(ActivityFilter::Idle(_)) => LookupKind::ExpiryAndIdle,
        }
    }

    /// Whether the key is looked at: it matches a pattern, and is neither our own nor one that we read from.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        self.rules.wants(key)
    }

    /// Whether a protected pattern keeps the key.
    #[must_use]
    pub fn protects(&self, key: &[u8]) -> bool {
        self.rules.protects(key)
    }

    /// What a wanted key is that looks like this. The slot of the key must not have moved.
    #[must_use]
    pub fn classify(&self, key: &[u8], seen: &KeyState) -> Classification {
        let left_ms = match seen.ttl {
            Ttl::Gone | Ttl::Moved => return Classification::Gone,
            // Whoever it belongs to.
            Ttl::Persistent => return Classification::Candidate(Reason::Stale, self.fate(key)),
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
            // Whether it still expires then could not be checked when it is deleted.
            User::Inactive if seen.expires_at_ms.is_some_and(|at_ms| at_ms >= EXPIRY_EXACT_BEFORE_MS) => {
                Classification::Keep(KeepReason::Normal)
            }
            User::Inactive => Classification::Candidate(Reason::Inactive, self.fate(key)),
        }
    }

    /// The user of a key, as a number: an active one, if one can be read from the key. `None` if none can, or idle times
    /// tell who is active.
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

    /// Whether keys of `users` users, none of whom is active, may be those of inactive users; see [`shared::messages::SampledUsers`].
    #[must_use]
    pub fn may_have_no_active(&self, users: u64) -> bool {
        match self.rules.inactive.as_ref().map(|rule| &rule.activity) {
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

    fn fate(&self, key: &[u8]) -> Treatment {
        // Protection wins over everything.
        if self.protects(key) {
            Treatment::Protected
        } else if self.rules.action == Action::Report {
            Treatment::Reported
        } else if key.len() > KEY_BYTES_MAX {
            Treatment::TooLong
        } else {
            Treatment::Candidate
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::activity::ActiveUsers;
    use shared::glob::Pattern;
    use shared::key_template::KeyTemplate;

    use super::*;

    fn rules(action: Action) -> Rules {
        let rules = Rules::deleting(&["permissions:*", "p?"], &["permissions:system:*"]).unwrap();
        Rules { action, ..rules }
    }

    #[test]
    fn only_matching_foreign_keys_are_wanted() {
        let rules = Rules { patterns: vec![Pattern::new("*").unwrap()], ..rules(Action::Delete) };
        assert!(Classifier::new(&rules, None).wants(b""));
        assert!(!Classifier::new(&rules, None).wants(b"keysweep:ledger:{x}:1"));
    }

    const STALE: fn(Treatment) -> Classification = |fate| Classification::Candidate(Reason::Stale, fate);
    const INACTIVE: fn(Treatment) -> Classification =
        |fate| Classification::Candidate(Reason::Inactive, fate);

    #[test]
    fn every_verdict() {
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let (selector, key) = (Classifier::new(&rules, None), key.as_bytes());
            assert!(selector.wants(key));
            let (start, verdict) = (&key[..key.len().min(30)], selector.classify(key, &KeyState::only(ttl)));
            assert_eq!(verdict, expected, "{} {ttl:?}", start.escape_ascii());
        };
        let normal = Classification::Keep(KeepReason::Normal);
        check(Action::Delete, "permissions:1", Ttl::Persistent, STALE(Treatment::Candidate));
        check(Action::Delete, "px", Ttl::Remaining(0), normal);
        check(Action::Delete, "px", Ttl::Gone, Classification::Gone);
        check(Action::Delete, "px", Ttl::FieldTtls, Classification::Keep(KeepReason::FieldTtl));
        check(Action::Report, "px", Ttl::Persistent, STALE(Treatment::Reported));
        check(Action::Report, "permissions:system:1", Ttl::Persistent, STALE(Treatment::Protected));
        check(Action::Delete, "permissions:system:1", Ttl::Persistent, STALE(Treatment::Protected));
        check(Action::Delete, "permissions:system:1", Ttl::Remaining(9), normal);
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX - 11));
        check(Action::Delete, &long, Ttl::Persistent, STALE(Treatment::TooLong));
        check(Action::Delete, &long[..KEY_BYTES_MAX], Ttl::Persistent, STALE(Treatment::Candidate));
    }

    fn activity(active: &[&str]) -> Activity {
        let mut users = ActiveUsers::gather();
        active.iter().for_each(|id| users.add(id.as_bytes()));
        let template = KeyTemplate::parse("permissions:{user}:*").unwrap();
        Activity { near_expiry_ms: 1_000, who: ActivityFilter::Users(template, Arc::new(users.finish())) }
    }

    #[test]
    fn every_verdict_on_users() {
        let activity = activity(&["alice", "a:b"]);
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let selector = Classifier::new(&rules, Some(&activity));
            let verdict = selector.classify(key.as_bytes(), &KeyState::only(ttl));
            assert_eq!(verdict, expected, "{key} {ttl:?}");
        };
        let stays = Classification::Keep;
        check(Action::Delete, "permissions:bob:x", Ttl::Remaining(1_001), INACTIVE(Treatment::Candidate));
        check(Action::Delete, "permissions:bob:x", Ttl::Remaining(1_000), stays(KeepReason::NearExpiry));
        check(Action::Delete, "permissions:bob:x", Ttl::Persistent, STALE(Treatment::Candidate));
        check(Action::Delete, "permissions:bob:x", Ttl::Gone, Classification::Gone);
        check(Action::Delete, "permissions:bob:x", Ttl::Moved, Classification::Gone);
        check(Action::Report, "permissions:bob:x", Ttl::Remaining(1_001), INACTIVE(Treatment::Reported));
        check(Action::Delete, "permissions:system:x", Ttl::Remaining(1_001), INACTIVE(Treatment::Protected));
        check(Action::Delete, "permissions:alice:x", Ttl::Remaining(1_001), stays(KeepReason::Active));
        check(Action::Delete, "permissions:alice:x", Ttl::Persistent, STALE(Treatment::Candidate));
        check(Action::Delete, "permissions:a:b:c", Ttl::Remaining(1_001), stays(KeepReason::Active));
        check(Action::Delete, "permissions:a:c:b", Ttl::Remaining(1_001), INACTIVE(Treatment::Candidate));
        check(Action::Delete, "permissions:bob", Ttl::Remaining(1_001), stays(KeepReason::UnknownUser));
    }

    #[test]
    fn a_moment_that_cannot_be_checked_again_makes_no_candidate() {
        let (activity, rules) = (activity(&["alice"]), rules(Action::Delete));
        let selector = Classifier::new(&rules, Some(&activity));
        let check = |at_ms: u64, expected| {
            let seen =
                KeyState { expires_at_ms: Some(at_ms), ..KeyState::only(Ttl::Remaining(at_ms - 1_000)) };
            assert_eq!(selector.classify(b"permissions:bob:x", &seen), expected, "{at_ms}");
        };
        check((1 << 53) - 1, INACTIVE(Treatment::Candidate));
        check(1 << 53, Classification::Keep(KeepReason::Normal));
        check(i64::MAX.unsigned_abs(), Classification::Keep(KeepReason::Normal));
    }

    #[test]
    fn every_verdict_on_idle_times() {
        let activity = Activity { near_expiry_ms: 1_000, who: ActivityFilter::Idle(60_000) };
        let rules = rules(Action::Expire { ttl_ms: 1, jitter_ms: 0 });
        let selector = Classifier::new(&rules, Some(&activity));
        let check = |key: &str, idle_ms, ttl, expected| {
            let seen = KeyState { idle_ms, ..KeyState::only(ttl) };
            assert_eq!(selector.classify(key.as_bytes(), &seen), expected, "{idle_ms:?} {ttl:?}");
        };
        check("px", Some(60_000), Ttl::Remaining(1_001), INACTIVE(Treatment::Candidate));
        check("px", Some(59_000), Ttl::Remaining(1_001), Classification::Keep(KeepReason::Active));
        check("px", Some(60_000), Ttl::Remaining(1_000), Classification::Keep(KeepReason::NearExpiry));
        check("px", None, Ttl::Remaining(1_001), Classification::Keep(KeepReason::UnknownUser));
        check("px", Some(60_000), Ttl::Persistent, STALE(Treatment::Candidate));
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX));
        check(&long, Some(60_000), Ttl::Remaining(1_001), INACTIVE(Treatment::TooLong));
    }
}
