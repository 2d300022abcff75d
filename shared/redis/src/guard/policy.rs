//! The decisions of `guard.lua`, for servers that run no scripts: the letter of a candidate from what was read of it,
//! and the commands that carry it out. Pure.

use std::iter;

use keysweep_model::messages::{Action, ActionEffect, Reason};
use keysweep_model::outcome::Outcome;

use super::{Candidate, GuardMode, Part};
use crate::limits::EXPIRY_EXACT_BEFORE_MS;

/// The letter of a candidate that is not decided yet; nothing was done with it.
pub(super) const OPEN: u8 = b'.';

/// The letter of a candidate that a node ledger leaves to the ledger of its slot.
pub(super) const ELSEWHERE: u8 = b'x';

/// The action on the candidates of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardAction {
    /// Carry out the action, whose effect is `effect`, on those that have no TTL.
    Stale { action: Action, effect: ActionEffect },
    /// Delete those that still expire at the time seen by the scan, not soon, and that were idle for `idle_s` seconds.
    Inactive { near_expiry_ms: u64, idle_s: Option<u64> },
    /// Shorten the TTL of those that have a longer one to this, in milliseconds.
    Clamp { ttl_ms: u64 },
    /// Touch nothing; record this letter.
    Record(u8),
}

/// What was read of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyReading {
    /// PTTL, or PEXPIRETIME for [`GuardAction::Inactive`].
    pub(super) expiry: i64,
    /// OBJECT IDLETIME, if it was queried and returned.
    pub(super) idle_s: Option<u64>,
    /// Whether its value is the one that was backed up, if only that is deleted.
    pub(super) saved: bool,
    /// Whether it is a hash whose fields expire, if that was queried.
    pub(super) fields_expire: bool,
    /// Whether the condition of its rule is true, if it has one.
    pub(super) qualifies: bool,
}

impl KeyReading {
    /// What the expiry alone says.
    pub(super) const fn of_expiry(expiry: i64) -> Self {
        Self { expiry, idle_s: None, saved: true, fields_expire: false, qualifies: true }
    }
}

impl GuardAction {
    /// The action for the candidates of `part`.
    pub(super) fn of(part: &Part<'_>) -> Self {
        let act = match part.mode {
            GuardMode::Act(act) => act,
            GuardMode::Finalize(outcome) => return Self::record(outcome),
            GuardMode::Elsewhere => return Self::Record(ELSEWHERE),
        };
        match (part.reason, act.stale.row().effect, act.clamp_ms) {
            (Reason::Inactive, ..) => Self::Inactive {
                near_expiry_ms: act.near_expiry_ms,
                // The server reports idle times in whole seconds.
                idle_s: act.idle_ms.map(|ms| ms.div_ceil(1_000)),
            },
            // Only a rule with a condition takes keys that expire.
            (Reason::Expiring, ..) if act.stale.deletes() && act.condition.is_some() => {
                Self::Inactive { near_expiry_ms: 0, idle_s: None }
            }
            (Reason::LongTtl, _, Some(ttl_ms)) => Self::Clamp { ttl_ms },
            (Reason::Stale, Some(effect), _) => Self::Stale { action: act.stale, effect },
            // A report-only run or rule has no batches.
            _ => Self::record(Outcome::Unreached),
        }
    }

    fn record(outcome: Outcome) -> Self {
        Self::Record(outcome.code() as u8)
    }

    /// Whether it waits for the grace and reads keys.
    pub(super) fn acts(self) -> bool {
        !matches!(self, Self::Record(_))
    }

    /// Whether idle times count.
    pub(super) fn asks_idle(self) -> bool {
        matches!(self, Self::Inactive { idle_s: Some(_), .. })
    }

    /// The command that reads a key's expiry.
    pub(super) fn lookup_command(self) -> &'static [u8] {
        if matches!(self, Self::Inactive { .. }) { b"PEXPIRETIME" } else { b"PTTL" }
    }

    /// The letter of a candidate that must expire at `expires_at_ms`, from what was read of it at `now_ms`.
    pub(super) fn outcome_code(self, expires_at_ms: u64, reading: KeyReading, now_ms: u64) -> u8 {
        let outcome = match (self, reading.expiry) {
            (Self::Record(letter), _) => return letter,
            (_, -2) => Outcome::Vanished,
            _ if !reading.qualifies => Outcome::Spared,
            (Self::Stale { .. }, -1) if reading.fields_expire => Outcome::FieldTtl,
            (Self::Stale { effect, .. }, -1) => effect.outcome,
            (Self::Stale { .. }, _) => Outcome::Spared,
            (Self::Clamp { ttl_ms }, left) if u64::try_from(left).is_ok_and(|left| left > ttl_ms) => {
                Outcome::Clamped
            }
            (Self::Clamp { .. }, _) => Outcome::Spared,
            (Self::Inactive { near_expiry_ms, idle_s }, at) => {
                let at = u64::try_from(at).ok();
                // As in the script, which cannot compare later times exactly.
                let same = at.is_some_and(|at| at < EXPIRY_EXACT_BEFORE_MS && at == expires_at_ms);
                let far = at.is_some_and(|at| at.saturating_sub(now_ms) > near_expiry_ms);
                // Without a reported idle time, the key does not count as idle.
                let idle = idle_s.is_none_or(|wanted| reading.idle_s.is_some_and(|idle| idle >= wanted));
                if same && far && idle { Outcome::Deleted } else { Outcome::Spared }
            }
        };
        let outcome = if outcome == Outcome::Deleted && !reading.saved { Outcome::Spared } else { outcome };
        outcome.code() as u8
    }

    /// The commands that carry out `letters` on `candidates`. Only letters that differ from `before`, where they were
    /// open, are carried out.
    pub(super) fn effects(
        self,
        candidates: &[Candidate<'_>],
        before: &[u8],
        letters: &[u8],
    ) -> Vec<Vec<Vec<u8>>> {
        let new = |wanted: Outcome| {
            let letter = wanted.code() as u8;
            let candidates = candidates.iter().zip(before.iter().zip(letters));
            candidates
                .filter(move |(_, (before, now))| **before == OPEN && **now == letter)
                .map(|(candidate, _)| candidate.key.as_bytes().to_vec())
        };
        let (action, outcome) = match self {
            Self::Stale { action, effect } => (action, effect.outcome),
            Self::Inactive { .. } => (Action::Delete, Outcome::Deleted),
            Self::Clamp { ttl_ms } => (Action::Clamp { ttl_ms }, Outcome::Clamped),
            Self::Record(_) => return Vec::new(),
        };
        let keys = new(outcome);
        match action {
            Action::Delete => {
                let command: Vec<Vec<u8>> = iter::once(b"UNLINK".to_vec()).chain(keys).collect();
                if command.len() > 1 { vec![command] } else { Vec::new() }
            }
            Action::Expire { ttl_ms, jitter_ms } => {
                let ttl = || spread(ttl_ms, jitter_ms).to_string().into_bytes();
                keys.map(|key| vec![b"PEXPIRE".to_vec(), key, ttl()]).collect()
            }
            // The key has a longer TTL at this moment, so that `LT`, which Redis 6.2 lacks, would change nothing.
            Action::Clamp { ttl_ms } => {
                let ttl = ttl_ms.to_string().into_bytes();
                keys.map(|key| vec![b"PEXPIRE".to_vec(), key, ttl.clone()]).collect()
            }
            Action::Report => Vec::new(),
        }
    }

    /// The script's mode, and the arguments that belong to it, for the candidates of `part`.
    pub(super) fn script_arguments(self, part: &Part<'_>) -> (String, Vec<String>) {
        match self {
            Self::Record(letter) => (format!("record:{}", char::from(letter)), Vec::new()),
            Self::Stale { action, effect } => {
                let arguments = match action {
                    Action::Expire { ttl_ms, jitter_ms } => {
                        part.candidates.iter().map(|_| spread(ttl_ms, jitter_ms).to_string()).collect()
                    }
                    Action::Delete | Action::Clamp { .. } | Action::Report => Vec::new(),
                };
                (effect.script_mode.to_owned(), arguments)
            }
            Self::Clamp { ttl_ms } => {
                ("clamp".to_owned(), part.candidates.iter().map(|_| ttl_ms.to_string()).collect())
            }
            Self::Inactive { near_expiry_ms, idle_s } => {
                let idle = idle_s.map_or_else(String::new, |s| s.to_string());
                let limits = [near_expiry_ms.to_string(), idle];
                let moments = part.candidates.iter().map(|candidate| candidate.expires_at_ms.to_string());
                let arguments = limits.into_iter().chain(moments);
                ("inactive".to_owned(), arguments.collect())
            }
        }
    }
}

/// A TTL of `ttl_ms` plus up to `jitter_ms`, so that keys repaired together do not expire together.
fn spread(ttl_ms: u64, jitter_ms: u64) -> u64 {
    ttl_ms + fastrand::u64(0..=jitter_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keysweep_model::key::Key;

    fn stale(action: Action) -> GuardAction {
        GuardAction::Stale { action, effect: action.row().effect.unwrap() }
    }

    const DELETE: Action = Action::Delete;

    #[test]
    fn letter_follows_from_the_key_reading() {
        let check = |order: GuardAction, expiry, idle_s, expected: u8| {
            let reading = KeyReading { idle_s, ..KeyReading::of_expiry(expiry) };
            let letter = order.outcome_code(2_000, reading, 1_000);
            assert_eq!(char::from(letter), char::from(expected), "{order:?} {expiry} {idle_s:?}");
        };
        check(stale(DELETE), -1, None, b'd');
        check(stale(DELETE), -2, None, b'v');
        check(stale(DELETE), 0, None, b's');
        let expire = stale(Action::Expire { ttl_ms: 1, jitter_ms: 0 });
        check(expire, -1, None, b'e');
        check(expire, 5, None, b's');
        check(GuardAction::Record(b'u'), -1, None, b'u');
        let inactive = |idle_s| GuardAction::Inactive { near_expiry_ms: 300, idle_s };
        check(inactive(None), 2_000, None, b'd');
        check(inactive(None), 2_001, None, b's');
        check(inactive(None), -1, None, b's');
        check(inactive(None), -2, None, b'v');
        check(inactive(Some(60)), 2_000, Some(60), b'd');
        check(inactive(Some(60)), 2_000, Some(59), b's');
        check(inactive(Some(60)), 2_000, None, b's');
        let near = GuardAction::Inactive { near_expiry_ms: 1_000, idle_s: None };
        check(near, 2_000, None, b's');
        for (at, expected) in [(1 << 53, b's'), ((1 << 53) - 1, b'd')] {
            let reading = KeyReading::of_expiry(at);
            assert_eq!(inactive(None).outcome_code(at as u64, reading, 1_000), expected, "{at}");
        }
        for (order, expected) in [(stale(DELETE), b't'), (expire, b't'), (inactive(None), b'd')] {
            let expiry = if expected == b't' { -1 } else { 2_000 };
            let reading = KeyReading { fields_expire: true, ..KeyReading::of_expiry(expiry) };
            assert_eq!(
                char::from(order.outcome_code(2_000, reading, 1_000)),
                char::from(expected),
                "{order:?}"
            );
        }
        let other = |expiry| KeyReading { saved: false, ..KeyReading::of_expiry(expiry) };
        let letters = [-1, -2, 5].map(|expiry| stale(DELETE).outcome_code(0, other(expiry), 1_000));
        assert_eq!(letters, *b"svs", "a value that was not saved is not deleted");
        let clamp = GuardAction::Clamp { ttl_ms: 1_000 };
        let letters = [1_001, 1_000, -1, -2]
            .map(|left| char::from(clamp.outcome_code(0, KeyReading::of_expiry(left), 1_000)));
        assert_eq!(letters, ['c', 's', 's', 'v']);
        let other =
            |expiry| KeyReading { qualifies: false, fields_expire: true, ..KeyReading::of_expiry(expiry) };
        for (order, expiry) in [(stale(DELETE), -1), (expire, -1), (clamp, 1_001), (inactive(None), 2_000)] {
            let letters = [expiry, -2].map(|expiry| order.outcome_code(2_000, other(expiry), 1_000));
            assert_eq!(letters, *b"sv", "{order:?}: nothing is done where the condition is not true");
        }
    }

    #[test]
    fn only_open_candidates_are_acted_on() {
        let keys = ["a", "b", "c", "d"].map(|key| Key::new(key.as_bytes()));
        let candidates: Vec<Candidate<'_>> = keys
            .iter()
            .map(|key| Candidate { key, expires_at_ms: 0, user_active: None, expected: None })
            .collect();
        let words = |commands: Vec<Vec<Vec<u8>>>| {
            let line = |command: Vec<Vec<u8>>| String::from_utf8(command.join(&b' ')).unwrap();
            commands.into_iter().map(line).collect::<Vec<_>>()
        };
        let done = stale(DELETE).effects(&candidates, b"d..v", b"ddsv");
        assert_eq!(words(done), ["UNLINK b"]);
        assert!(stale(DELETE).effects(&candidates, b"....", b"s??v").is_empty());
        let expire = stale(Action::Expire { ttl_ms: 7, jitter_ms: 0 });
        assert_eq!(words(expire.effects(&candidates, b"e...", b"ee?e")), ["PEXPIRE b 7", "PEXPIRE d 7"]);
        assert!(GuardAction::Record(b'f').effects(&candidates, b"....", b"ffff").is_empty());
    }
}
