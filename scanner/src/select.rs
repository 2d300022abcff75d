//! Selection: which listed keys are looked at, and which of those become candidates. Pure.

use shared::cluster::Ttl;
use shared::key::Key;
use shared::limits::KEY_BYTES_MAX;
use shared::messages::{Action, Rules};

/// What a key turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is gone; it does not count at all.
    Gone,
    /// It has a TTL, in milliseconds.
    Normal(u64),
    /// Stale, and kept by a protected pattern.
    Protected,
    /// Stale, and only to be reported.
    Reported,
    /// Stale, and too long for a message.
    TooLong,
    /// Stale, and to be acted upon.
    Candidate,
}

/// The rules of a run, ready to be applied.
pub struct Selector<'a>(&'a Rules);

impl<'a> Selector<'a> {
    /// Applies `rules`.
    #[must_use]
    pub fn new(rules: &'a Rules) -> Self {
        Self(rules)
    }

    /// Whether the key is looked at: it matches a pattern and is none of our own.
    #[must_use]
    pub fn wants(&self, key: &Key) -> bool {
        !key.is_own() && self.0.patterns.iter().any(|pattern| pattern.matches(key.as_bytes()))
    }

    /// Whether a protected pattern keeps the key.
    #[must_use]
    pub fn protects(&self, key: &Key) -> bool {
        self.0.protect.iter().any(|pattern| pattern.matches(key.as_bytes()))
    }

    /// What a wanted key with this TTL is. The slot of the key must not have moved.
    #[must_use]
    pub fn judge(&self, key: &Key, ttl: Ttl) -> Verdict {
        match ttl {
            Ttl::Gone | Ttl::Moved => Verdict::Gone,
            Ttl::Left(ms) => Verdict::Normal(ms),
            // Protection wins over everything.
            Ttl::Unlimited if self.protects(key) => Verdict::Protected,
            Ttl::Unlimited if self.0.action == Action::Report => Verdict::Reported,
            Ttl::Unlimited if key.len() > KEY_BYTES_MAX => Verdict::TooLong,
            Ttl::Unlimited => Verdict::Candidate,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::glob::Pattern;

    use super::*;

    fn rules(action: Action) -> Rules {
        let patterns = |texts: &[&str]| texts.iter().map(|t| Pattern::new(*t).unwrap()).collect();
        Rules {
            patterns: patterns(&["permissions:*", "p?"]),
            protect: patterns(&["permissions:system:*"]),
            action,
            grace_ms: 0,
            scan_batch_keys: 100,
            delete_batch_keys: 100,
            inactive: None,
        }
    }

    #[test]
    fn only_matching_foreign_keys_are_wanted() {
        let rules = Rules { patterns: vec![Pattern::new("*").unwrap()], ..rules(Action::Delete) };
        assert!(Selector::new(&rules).wants(&Key::new(*b"")));
        assert!(!Selector::new(&rules).wants(&Key::new(*b"keysweep:ledger:{x}:1")));
    }

    #[test]
    fn every_verdict() {
        let check = |action, key: &str, ttl, expected| {
            let rules = rules(action);
            let (selector, key) = (Selector::new(&rules), Key::new(key));
            assert!(selector.wants(&key));
            assert_eq!(selector.judge(&key, ttl), expected, "{} {ttl:?}", key.shortened(30));
        };
        check(Action::Delete, "permissions:1", Ttl::Unlimited, Verdict::Candidate);
        check(Action::Delete, "px", Ttl::Left(0), Verdict::Normal(0));
        check(Action::Delete, "px", Ttl::Gone, Verdict::Gone);
        check(Action::Report, "px", Ttl::Unlimited, Verdict::Reported);
        check(Action::Report, "permissions:system:1", Ttl::Unlimited, Verdict::Protected);
        check(Action::Delete, "permissions:system:1", Ttl::Unlimited, Verdict::Protected);
        check(Action::Delete, "permissions:system:1", Ttl::Left(9), Verdict::Normal(9));
        let long = format!("permissions:{}", "x".repeat(KEY_BYTES_MAX - 11));
        check(Action::Delete, &long, Ttl::Unlimited, Verdict::TooLong);
        check(Action::Delete, &long[..KEY_BYTES_MAX], Ttl::Unlimited, Verdict::Candidate);
    }
}
