//! The decisions of `guard.lua`, for servers that run no scripts: the letter of a candidate from what was read of it,
//! and the commands that carry it out. Pure.

use keysweep_model::limits::EXPIRY_EXACT_BEFORE_MS;
use keysweep_model::messages::{Action, Group, Reason};
use keysweep_model::outcome::Outcome;

use super::{ExpectedContent, GuardMode};

/// The letter of a candidate that is not decided yet; nothing was done with it.
pub(super) const OPEN: u8 = b'.';

/// The action on the candidates of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuardAction<'a> {
    /// Delete those that have no TTL.
    Delete,
    /// Set a TTL of `ttl_ms`, and up to `jitter_ms` more, on those that have none.
    Expire { ttl_ms: u64, jitter_ms: u64 },
    /// Delete those that still expire at the time seen by the scan, not soon, and that were idle for `idle_s` seconds.
    Inactive { near_expiry_ms: u64, idle_s: Option<u64>, expires_at_ms: &'a [u64] },
    /// Touch nothing.
    Finalize(Outcome),
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
}

impl<'a> GuardAction<'a> {
    /// The action of `mode` for `group`.
    pub(super) fn of(mode: GuardMode, group: &'a Group) -> Self {
        let act = match mode {
            GuardMode::Act(act) => act,
            GuardMode::Finalize(outcome) => return Self::Finalize(outcome),
        };
        match (group.reason, act.stale) {
            (Reason::Inactive, _) => Self::Inactive {
                near_expiry_ms: act.near_expiry_ms,
                // The server reports idle times in whole seconds.
                idle_s: act.idle_ms.map(|ms| ms.div_ceil(1_000)),
                expires_at_ms: &group.expires_at_ms,
            },
            (Reason::Stale, Action::Expire { ttl_ms, jitter_ms }) => Self::Expire { ttl_ms, jitter_ms },
            // A report-only run has no batches.
            (Reason::Stale, Action::Delete | Action::Report) => Self::Delete,
        }
    }

    /// Whether it waits for the grace and reads keys.
    pub(super) fn acts(self) -> bool {
        !matches!(self, Self::Finalize(_))
    }

    /// Whether idle times count.
    pub(super) fn asks_idle(self) -> bool {
        matches!(self, Self::Inactive { idle_s: Some(_), .. })
    }

    /// The command that reads a key's expiry.
    pub(super) fn lookup_command(self) -> &'static [u8] {
        if matches!(self, Self::Inactive { .. }) { b"PEXPIRETIME" } else { b"PTTL" }
    }

    /// The letter of candidate `index`, from what was read at `now_ms`.
    pub(super) fn outcome_code(self, index: usize, reading: KeyReading, now_ms: u64) -> u8 {
        let outcome = match (self, reading.expiry) {
            (Self::Finalize(outcome), _) => outcome,
            (_, -2) => Outcome::Vanished,
            (Self::Delete | Self::Expire { .. }, -1) if reading.fields_expire => Outcome::FieldTtl,
            (Self::Delete, -1) => Outcome::Deleted,
            (Self::Expire { .. }, -1) => Outcome::Expired,
            (Self::Delete | Self::Expire { .. }, _) => Outcome::Spared,
            (Self::Inactive { near_expiry_ms, idle_s, expires_at_ms }, at) => {
                let at = u64::try_from(at).ok();
                // As in the script, which cannot compare later times exactly.
                let same = at.is_some_and(|at| at < EXPIRY_EXACT_BEFORE_MS)
                    && at == expires_at_ms.get(index).copied();
                let far = at.is_some_and(|at| at.saturating_sub(now_ms) > near_expiry_ms);
                // Without a reported idle time, the key does not count as idle.
                let idle = idle_s.is_none_or(|wanted| reading.idle_s.is_some_and(|idle| idle >= wanted));
                if same && far && idle { Outcome::Deleted } else { Outcome::Spared }
            }
        };
        let outcome = if outcome == Outcome::Deleted && !reading.saved { Outcome::Spared } else { outcome };
        outcome.code() as u8
    }

    /// The commands that carry out `letters` on `group`. Only letters that differ from `before`, where they were open,
    /// are carried out.
    pub(super) fn effects(self, group: &Group, before: &[u8], letters: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let new = |wanted: Outcome| {
            let letter = wanted.code() as u8;
            let candidates = group.keys.iter().zip(before.iter().zip(letters));
            candidates
                .filter(move |(_, (before, now))| **before == OPEN && **now == letter)
                .map(|(key, _)| key.as_bytes().to_vec())
        };
        match self {
            Self::Delete | Self::Inactive { .. } => {
                let to_delete: Vec<Vec<u8>> = new(Outcome::Deleted).collect();
                let unlink = || [vec![b"UNLINK".to_vec()], to_delete.clone()].concat();
                if to_delete.is_empty() { Vec::new() } else { vec![unlink()] }
            }
            Self::Expire { ttl_ms, jitter_ms } => new(Outcome::Expired)
                .map(|key| {
                    let ttl = spread(ttl_ms, jitter_ms).to_string().into_bytes();
                    vec![b"PEXPIRE".to_vec(), key, ttl]
                })
                .collect(),
            Self::Finalize(_) => Vec::new(),
        }
    }
}

/// A TTL of `ttl_ms` plus up to `jitter_ms`, so that keys repaired together do not expire together.
pub(super) fn spread(ttl_ms: u64, jitter_ms: u64) -> u64 {
    ttl_ms + fastrand::u64(0..=jitter_ms)
}

/// The letter that follows from the expected content alone, without reading the key; `None` if the key must be read.
pub(super) fn decided(expected: Option<&ExpectedContent>) -> Option<u8> {
    match expected {
        Some(ExpectedContent::Unsaved) => Some(Outcome::Failed.code() as u8),
        Some(ExpectedContent::Later) => Some(OPEN),
        Some(ExpectedContent::Text(_) | ExpectedContent::Value { .. } | ExpectedContent::Absent) | None => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keysweep_model::key::Key;

    #[test]
    fn letter_follows_from_the_key_reading() {
        let check = |order: GuardAction<'_>, expiry, idle_s, expected: u8| {
            let reading = KeyReading { expiry, idle_s, saved: true, fields_expire: false };
            let letter = order.outcome_code(0, reading, 1_000);
            assert_eq!(char::from(letter), char::from(expected), "{order:?} {expiry} {idle_s:?}");
        };
        check(GuardAction::Delete, -1, None, b'd');
        check(GuardAction::Delete, -2, None, b'v');
        check(GuardAction::Delete, 0, None, b's');
        let expire = GuardAction::Expire { ttl_ms: 1, jitter_ms: 0 };
        check(expire, -1, None, b'e');
        check(expire, 5, None, b's');
        check(GuardAction::Finalize(Outcome::Unreached), -1, None, b'u');
        let inactive =
            |idle_s| GuardAction::Inactive { near_expiry_ms: 300, idle_s, expires_at_ms: &[2_000] };
        check(inactive(None), 2_000, None, b'd');
        check(inactive(None), 2_001, None, b's');
        check(inactive(None), -1, None, b's');
        check(inactive(None), -2, None, b'v');
        check(inactive(Some(60)), 2_000, Some(60), b'd');
        check(inactive(Some(60)), 2_000, Some(59), b's');
        check(inactive(Some(60)), 2_000, None, b's');
        let near = GuardAction::Inactive { near_expiry_ms: 1_000, idle_s: None, expires_at_ms: &[2_000] };
        check(near, 2_000, None, b's');
        for (at, expected) in [(1 << 53, b's'), ((1 << 53) - 1, b'd')] {
            let far = [at as u64];
            let order = GuardAction::Inactive { near_expiry_ms: 300, idle_s: None, expires_at_ms: &far };
            check(order, at, None, expected);
        }
        for (order, expected) in [(GuardAction::Delete, b't'), (expire, b't'), (inactive(None), b'd')] {
            let expiry = if expected == b't' { -1 } else { 2_000 };
            let reading = KeyReading { expiry, idle_s: None, saved: true, fields_expire: true };
            assert_eq!(char::from(order.outcome_code(0, reading, 1_000)), char::from(expected), "{order:?}");
        }
        let other = |expiry| KeyReading { expiry, idle_s: None, saved: false, fields_expire: false };
        let letters = [-1, -2, 5].map(|expiry| GuardAction::Delete.outcome_code(0, other(expiry), 1_000));
        assert_eq!(letters, *b"svs", "a value that was not saved is not deleted");
    }

    #[test]
    fn only_open_candidates_are_acted_on() {
        let keys = ["a", "b", "c", "d"].map(|key| Key::new(key.as_bytes())).to_vec();
        let group = Group {
            slot: 0,
            reason: Reason::Stale,
            keys,
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        let words = |commands: Vec<Vec<Vec<u8>>>| {
            let line = |command: Vec<Vec<u8>>| String::from_utf8(command.join(&b' ')).unwrap();
            commands.into_iter().map(line).collect::<Vec<_>>()
        };
        let done = GuardAction::Delete.effects(&group, b"d..v", b"ddsv");
        assert_eq!(words(done), ["UNLINK b"]);
        assert!(GuardAction::Delete.effects(&group, b"....", b"s??v").is_empty());
        let expire = GuardAction::Expire { ttl_ms: 7, jitter_ms: 0 };
        assert_eq!(words(expire.effects(&group, b"e...", b"ee?e")), ["PEXPIRE b 7", "PEXPIRE d 7"]);
        assert!(GuardAction::Finalize(Outcome::Failed).effects(&group, b"....", b"ffff").is_empty());
    }
}
