//! Selection: which listed keys are looked at, and which of those become candidates. Pure.

use shared::activity::{Activity, Who};
use shared::cluster::{Ask, Seen, Ttl};
use shared::identity::User;
use shared::limits::{EXPIRY_EXACT_BEFORE_MS, KEY_BYTES_MAX};
use shared::messages::{Action, ActivityRule, Reason, Rules};

/// What a key turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is gone; it does not count at all.
    Gone,
    /// It has a TTL, and stays.
    Stays(Stays),
    /// It qualifies.
    Found(Reason, Fate),
}

/// Why a key with a TTL stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
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
pub enum Fate {
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
pub struct Selector<'a> {
    rules: &'a Rules,
    activity: Option<&'a Activity>,
}

impl<'a> Selector<'a> {
    /// Applies `rules`; inactive users' keys are looked for if `activity` says who is active.
    #[must_use]
    pub fn new(rules: &'a Rules, activity: Option<&'a Activity>) -> Self {
        Self { rules, activity }
    }

    /// What has to be asked about a key.
    #[must_use]
    pub fn ask(&self) -> Ask {
        match self.activity.map(|activity| &activity.who) {
            None => Ask::Ttl,
            Some(Who::Users(..)) => Ask::Expiry,
            Some(Who::Idle(_)) => Ask::ExpiryAndIdle,
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
    pub fn judge(&self, key: &[u8], seen: &Seen) -> Verdict {
        let left_ms = match seen.ttl {
            Ttl::Gone | Ttl::Moved => return Verdict::Gone,
            // Whoever it belongs to.
            Ttl::Unlimited => return Verdict::Found(Reason::Stale, self.fate(key)),
            Ttl::Fields => return Verdict::Stays(Stays::FieldTtl),
            Ttl::Left(ms) => ms,
        };
        let Some(activity) = self.activity else { return Verdict::Stays(Stays::Normal) };
        match self.user(activity, key, seen) {
            User::Active => Verdict::Stays(Stays::Active),
            User::Unknown => Verdict::Stays(Stays::UnknownUser),
            User::Inactive if left_ms <= activity.near_expiry_ms => Verdict::Stays(Stays::NearExpiry),
            // Whether it still expires then could not be checked when it is deleted.
            User::Inactive if seen.expires_at_ms.is_some_and(|at_ms| at_ms >= EXPIRY_EXACT_BEFORE_MS) => {
                Verdict::Stays(Stays::Normal)
            }
            User::Inactive => Verdict::Found(Reason::Inactive, self.fate(key)),
        }
    }

    /// The user of a key, as a number: an active one, if one can be read from the key. `None` if none can, or idle times
    /// tell who is active.
    #[must_use]
    pub fn user_number(&self, key: &[u8]) -> Option<u64> {
        let Who::Users(template, users) = &self.activity?.who else { return None };
        let (mut first, mut found) = (None, None);
        template.user(key, |id| {
            first.get_or_insert(id);
            let active = users.has(id);
            found = found.or(active.then_some(id));
            active
        });
        found.or(first).map(|id| users.number(id))
    }

    /// Whether keys of `users` users, none of whom is active, may be those of inactive users; see [`shared::messages::Met`].
    #[must_use]
    pub fn believes_in_none_of(&self, users: u64) -> bool {
        match self.rules.inactive.as_ref().map(|rule| &rule.activity) {
            Some(ActivityRule::Users { matching: Some(matching), .. }) => {
                matching.allow_no_active || matching.met.believes_in_none_of(users)
            }
            _ => true,
        }
    }

    fn user(&self, activity: &Activity, key: &[u8], seen: &Seen) -> User {
        match &activity.who {
            Who::Users(template, users) => template.user(key, |id| users.has(id)),
            Who::Idle(threshold_ms) => match seen.idle_ms {
                None => User::Unknown,
                Some(idle_ms) if idle_ms >= *threshold_ms => User::Inactive,
                Some(_) => User::Active,
            },
        }
    }

    fn fate(&self, key: &[u8]) -> Fate {
        // Protection wins over everything.
        if self.protects(key) {
            Fate::Protected
        } else if self.rules.action == Action::Report {
            Fate::Reported
        } else if key.len() > KEY_BYTES_MAX {
            Fate::TooLong
        } else {
            Fate::Candidate
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::activity::ActiveUsers;
    use shared::glob::Pattern;
    use shared::identity::Template;

    use super::*;

    fn rules(action: Action) -> Rules {
        let rules = Rules::deleting(&["permissions:*", "p?"], &["permissions:system:*"]).unwrap();
        Rules { action, ..rules }
    }

    #[test]
    fn only_matching_foreign_keys_are_wanted() {
        let rules = Rules { patterns: vec![Pattern::new("*").unwrap()], ..rules(Action::Delete) };
        assert!(Selector::new(&rules, None).wants(b""));
        assert!(!Selector::new(&rules, None).wants(b"keysweep:ledger:{x}:1"));
    }

    const STALE: fn(Fate) -> Verdict = |fate| Verdict::Found(Reason::Stale, fate);
    const INACTIVE: fn(Fate) -> Verdict = |fate| Verdict::Found(Reason::Inactive, fate);

    #[test]
    fn every_verdict() {
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let (selector, key) = (Selector::new(&rules, None), key.as_bytes());
            assert!(selector.wants(key));
            let (start, verdict) = (&key[..key.len().min(30)], selector.judge(key, &Seen::only(ttl)));
            assert_eq!(verdict, expected, "{} {ttl:?}", start.escape_ascii());
        };
        let normal = Verdict::Stays(Stays::Normal);
        check(Action::Delete, "permissions:1", Ttl::Unlimited, STALE(Fate::Candidate));
        check(Action::Delete, "px", Ttl::Left(0), normal);
        check(Action::Delete, "px", Ttl::Gone, Verdict::Gone);
        check(Action::Delete, "px", Ttl::Fields, Verdict::Stays(Stays::FieldTtl));
        check(Action::Report, "px", Ttl::Unlimited, STALE(Fate::Reported));
        check(Action::Report, "permissions:system:1", Ttl::Unlimited, STALE(Fate::Protected));
        check(Action::Delete, "permissions:system:1", Ttl::Unlimited, STALE(Fate::Protected));
        check(Action::Delete, "permissions:system:1", Ttl::Left(9), normal);
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX - 11));
        check(Action::Delete, &long, Ttl::Unlimited, STALE(Fate::TooLong));
        check(Action::Delete, &long[..KEY_BYTES_MAX], Ttl::Unlimited, STALE(Fate::Candidate));
    }

    fn activity(active: &[&str]) -> Activity {
        let mut users = ActiveUsers::gather();
        active.iter().for_each(|id| users.add(id.as_bytes()));
        let template = Template::parse("permissions:{user}:*").unwrap();
        Activity { near_expiry_ms: 1_000, who: Who::Users(template, Arc::new(users.finish())) }
    }

    #[test]
    fn every_verdict_on_users() {
        let activity = activity(&["alice", "a:b"]);
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let selector = Selector::new(&rules, Some(&activity));
            let verdict = selector.judge(key.as_bytes(), &Seen::only(ttl));
            assert_eq!(verdict, expected, "{key} {ttl:?}");
        };
        let stays = Verdict::Stays;
        check(Action::Delete, "permissions:bob:x", Ttl::Left(1_001), INACTIVE(Fate::Candidate));
        check(Action::Delete, "permissions:bob:x", Ttl::Left(1_000), stays(Stays::NearExpiry));
        check(Action::Delete, "permissions:bob:x", Ttl::Unlimited, STALE(Fate::Candidate));
        check(Action::Delete, "permissions:bob:x", Ttl::Gone, Verdict::Gone);
        check(Action::Delete, "permissions:bob:x", Ttl::Moved, Verdict::Gone);
        check(Action::Report, "permissions:bob:x", Ttl::Left(1_001), INACTIVE(Fate::Reported));
        check(Action::Delete, "permissions:system:x", Ttl::Left(1_001), INACTIVE(Fate::Protected));
        check(Action::Delete, "permissions:alice:x", Ttl::Left(1_001), stays(Stays::Active));
        check(Action::Delete, "permissions:alice:x", Ttl::Unlimited, STALE(Fate::Candidate));
        check(Action::Delete, "permissions:a:b:c", Ttl::Left(1_001), stays(Stays::Active));
        check(Action::Delete, "permissions:a:c:b", Ttl::Left(1_001), INACTIVE(Fate::Candidate));
        check(Action::Delete, "permissions:bob", Ttl::Left(1_001), stays(Stays::UnknownUser));
    }

    #[test]
    fn a_moment_that_cannot_be_checked_again_makes_no_candidate() {
        let (activity, rules) = (activity(&["alice"]), rules(Action::Delete));
        let selector = Selector::new(&rules, Some(&activity));
        let check = |at_ms: u64, expected| {
            let seen = Seen { expires_at_ms: Some(at_ms), ..Seen::only(Ttl::Left(at_ms - 1_000)) };
            assert_eq!(selector.judge(b"permissions:bob:x", &seen), expected, "{at_ms}");
        };
        check((1 << 53) - 1, INACTIVE(Fate::Candidate));
        check(1 << 53, Verdict::Stays(Stays::Normal));
        check(i64::MAX.unsigned_abs(), Verdict::Stays(Stays::Normal));
    }

    #[test]
    fn every_verdict_on_idle_times() {
        let activity = Activity { near_expiry_ms: 1_000, who: Who::Idle(60_000) };
        let rules = rules(Action::Expire { ttl_ms: 1, jitter_ms: 0 });
        let selector = Selector::new(&rules, Some(&activity));
        let check = |key: &str, idle_ms, ttl, expected| {
            let seen = Seen { idle_ms, ..Seen::only(ttl) };
            assert_eq!(selector.judge(key.as_bytes(), &seen), expected, "{idle_ms:?} {ttl:?}");
        };
        check("px", Some(60_000), Ttl::Left(1_001), INACTIVE(Fate::Candidate));
        check("px", Some(59_000), Ttl::Left(1_001), Verdict::Stays(Stays::Active));
        check("px", Some(60_000), Ttl::Left(1_000), Verdict::Stays(Stays::NearExpiry));
        check("px", None, Ttl::Left(1_001), Verdict::Stays(Stays::UnknownUser));
        check("px", Some(60_000), Ttl::Unlimited, STALE(Fate::Candidate));
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX));
        check(&long, Some(60_000), Ttl::Left(1_001), INACTIVE(Fate::TooLong));
    }
}
