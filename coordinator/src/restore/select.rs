//! Selects the saved keys to restore. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use keysweep_backup::{BackupEntry, Recorded};
use keysweep_model::glob::Pattern;
use keysweep_model::ids::BatchId;
use keysweep_model::key::is_own;
use keysweep_model::messages::Reason;
use keysweep_model::outcome::Outcome;
use xxhash_rust::xxh3::xxh3_128;

/// The filter of a restoration.
#[derive(Clone, Debug, Default)]
pub struct RestoreFilter {
    /// Keys that match one of these; all keys, if empty.
    pub patterns: Vec<Pattern>,
    /// Keys that were deleted for this reason.
    pub reason: Option<Reason>,
}

impl RestoreFilter {
    fn takes(&self, entry: &BackupEntry) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(entry.key.as_bytes());
        (self.patterns.is_empty() || self.patterns.iter().any(matches))
            && self.reason.is_none_or(|reason| reason == entry.reason)
    }
}

/// The recorded outcomes of the candidates of batches.
#[derive(Debug, Default)]
pub(super) struct RecordedOutcomes(HashMap<BatchId, BTreeMap<u32, Vec<Outcome>>>);

impl RecordedOutcomes {
    /// Adds the outcomes of `batch` from one file. All attempts at a batch have the same outcomes, but one may have
    /// recorded fewer.
    pub(super) fn add(&mut self, batch: BatchId, recorded: Vec<Recorded>) {
        let groups = self.0.entry(batch).or_default();
        for Recorded { group, outcomes } in recorded {
            let known = groups.entry(group).or_default();
            if known.is_empty() {
                *known = outcomes;
                continue;
            }
            for (known, outcome) in known.iter_mut().zip(outcomes) {
                if *known == Outcome::Unconfirmed {
                    *known = outcome;
                }
            }
        }
    }

    fn of(&self, batch: BatchId, entry: &BackupEntry) -> Option<Outcome> {
        let outcomes = self.0.get(&batch)?.get(&entry.group)?;
        outcomes.get(usize::try_from(entry.index).ok()?).copied()
    }
}

/// What to do with a saved key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryDecision {
    /// The filter excludes it.
    Filtered,
    /// It is a key of keysweep itself.
    Own,
    /// We did not delete it, so it must not be restored.
    Kept,
    /// A newer file contains it, too.
    Older,
    /// It would have expired by now.
    Expired,
    /// It is restored; `confirmed`: its deletion is recorded.
    Back {
        /// Whether its deletion is recorded.
        confirmed: bool,
    },
}

/// Decides on the keys of a backup, newest files first.
#[derive(Debug, Default)]
pub(super) struct EntrySelector {
    pub(super) wanted: RestoreFilter,
    pub(super) outcomes: RecordedOutcomes,
    /// Hashes of the keys decided on: if several files contain a key, the newest counts. 128 bits, so that collisions
    /// are practically impossible.
    seen: HashSet<u128>,
}

impl EntrySelector {
    pub(super) fn new(wanted: RestoreFilter, outcomes: RecordedOutcomes) -> Self {
        Self { wanted, outcomes, seen: HashSet::new() }
    }

    /// What to do with `entry` of `batch` in database `db`, if `now_ms` is the server's time.
    pub(super) fn decide(
        &mut self,
        (batch, db): (BatchId, u32),
        entry: &BackupEntry,
        now_ms: u64,
    ) -> EntryDecision {
        if !self.wanted.takes(entry) {
            return EntryDecision::Filtered;
        }
        if is_own(entry.key.as_bytes()) {
            return EntryDecision::Own;
        }
        // A key that was kept when a newer file was written makes the older file's value obsolete, too.
        let name = [&db.to_le_bytes()[..], entry.key.as_bytes()].concat();
        if !self.seen.insert(xxh3_128(&name)) {
            return EntryDecision::Older;
        }
        let confirmed = match self.outcomes.of(batch, entry) {
            Some(Outcome::Deleted) => true,
            None | Some(Outcome::Unconfirmed) => false,
            Some(_) => return EntryDecision::Kept,
        };
        match entry.expires_at_ms {
            Some(at_ms) if at_ms <= now_ms => EntryDecision::Expired,
            _ => EntryDecision::Back { confirmed },
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::key::Key;

    use super::*;

    fn entry(key: &str, index: u32, expires_at_ms: Option<u64>) -> BackupEntry {
        let reason = if expires_at_ms.is_some() { Reason::Inactive } else { Reason::Stale };
        BackupEntry { group: 1, index, reason, expires_at_ms, key: Key::new(key), value: b"a value".to_vec() }
    }

    fn judge(wanted: RestoreFilter, letters: &[u8]) -> (EntrySelector, BatchId) {
        let (batch, mut outcomes) = (BatchId::new(), RecordedOutcomes::default());
        let letters = letters.iter().map(|letter| Outcome::from_code(*letter).unwrap()).collect();
        outcomes.add(batch, vec![Recorded { group: 1, outcomes: letters }]);
        (EntrySelector::new(wanted, outcomes), batch)
    }

    #[test]
    fn deleted_keys_and_unconfirmed_keys_are_restored() {
        let (mut judge, batch) = judge(RestoreFilter::default(), b"dsvfune");
        let mut check = |batch, index, expected| {
            let key = format!("key {index}");
            assert_eq!(judge.decide((batch, 0), &entry(&key, index, None), 0), expected, "{index}");
        };
        check(batch, 0, EntryDecision::Back { confirmed: true });
        for index in [1, 2, 3, 4, 6] {
            check(batch, index, EntryDecision::Kept);
        }
        check(batch, 5, EntryDecision::Back { confirmed: false });
        check(batch, 70, EntryDecision::Back { confirmed: false });
        check(BatchId::new(), 71, EntryDecision::Back { confirmed: false });
    }

    #[test]
    fn locks_and_ledgers_are_never_restored() {
        let (mut judge, batch) = judge(RestoreFilter::default(), b"d");
        for key in ["keysweep:lock:job", "keysweep:ledger:{aaaa}:1"] {
            assert_eq!(judge.decide((batch, 0), &entry(key, 0, None), 0), EntryDecision::Own, "{key}");
        }
        assert_eq!(
            judge.decide((batch, 0), &entry("keysweeper", 0, None), 0),
            EntryDecision::Back { confirmed: true }
        );
    }

    #[test]
    fn the_first_of_two_saves_of_a_key_counts() {
        let (mut judge, batch) = judge(RestoreFilter::default(), b"dsdd");
        let mut check = |db, index, expires_at_ms, expected| {
            assert_eq!(judge.decide((batch, db), &entry("key", index, expires_at_ms), 100), expected);
        };
        check(0, 1, None, EntryDecision::Kept);
        check(0, 0, Some(100), EntryDecision::Older);
        check(1, 3, Some(101), EntryDecision::Back { confirmed: true });
        check(1, 2, None, EntryDecision::Older);
        check(2, 0, Some(100), EntryDecision::Expired);
        check(2, 2, None, EntryDecision::Older);
    }

    #[test]
    fn outcomes_of_two_files_are_merged() {
        let (batch, letters) = (BatchId::new(), |text: &[u8]| {
            text.iter().map(|letter| Outcome::from_code(*letter).unwrap()).collect::<Vec<_>>()
        });
        for notes in [[b"snn", b"nnd"], [b"nnd", b"snn"]] {
            let mut outcomes = RecordedOutcomes::default();
            for note in notes {
                outcomes.add(batch, vec![Recorded { group: 1, outcomes: letters(note) }]);
            }
            assert_eq!(outcomes.0[&batch][&1], letters(b"snd"));
        }
    }

    #[test]
    fn filtered_keys_are_not_restored() {
        let patterns = vec![Pattern::new(*b"a:*").unwrap(), Pattern::new(*b"b:*").unwrap()];
        let (mut judge, batch) = judge(RestoreFilter { patterns, reason: Some(Reason::Stale) }, b"dddd");
        let mut check = |key, expires_at_ms, expected| {
            assert_eq!(judge.decide((batch, 0), &entry(key, 0, expires_at_ms), 0), expected, "{key}");
        };
        check("a:1", None, EntryDecision::Back { confirmed: true });
        check("b:1", None, EntryDecision::Back { confirmed: true });
        check("c:1", None, EntryDecision::Filtered);
        check("a:2", Some(1_000), EntryDecision::Filtered);
    }
}
