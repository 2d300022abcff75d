//! Which of the saved keys are put back. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::backup::{BackupEntry, Recorded};
use shared::glob::Pattern;
use shared::ids::BatchId;
use shared::key::is_own;
use shared::messages::Reason;
use shared::outcome::Outcome;
use xxhash_rust::xxh3::xxh3_128;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct RestoreFilter {
    /// Keys that match one of these; all, if there is none.
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

/// What became of the candidates of batches, as far as it was noted.
#[derive(Debug, Default)]
pub(super) struct RecordedOutcomes(HashMap<BatchId, BTreeMap<u32, Vec<Outcome>>>);

impl RecordedOutcomes {
    /// Takes in what one file notes of `batch`. All attempts at a batch have the same outcomes, but one may know less.
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

/// What is to be done with a saved key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryDecision {
    /// It was not asked for.
    Filtered,
    /// It is a key of keysweep itself.
    Own,
    /// We did not delete it, so it is not ours to put back.
    Kept,
    /// A newer file has it, too.
    Older,
    /// It would have expired by now.
    Expired,
    /// It is put back; `confirmed` says that we deleted it for sure.
    Back {
        /// See there.
        confirmed: bool,
    },
}

/// Judges the keys of a backup, the newest files first.
#[derive(Debug, Default)]
pub(super) struct EntrySelector {
    pub(super) wanted: RestoreFilter,
    pub(super) outcomes: RecordedOutcomes,
    /// Hashes of the keys that were judged: of those that stand in several files, the newest counts. 128 bits, so that no
    /// two keys have the same.
    seen: HashSet<u128>,
}

impl EntrySelector {
    pub(super) fn new(wanted: RestoreFilter, outcomes: RecordedOutcomes) -> Self {
        Self { wanted, outcomes, seen: HashSet::new() }
    }

    /// What is to be done with `entry` of `batch` in database `db`, if it is `now_ms` by the server's clock.
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
        // What lived on after an older file was written makes that one's value obsolete, too.
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
    use shared::key::Key;

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
    fn only_what_we_deleted_comes_back_or_what_nobody_knows() {
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
    fn locks_and_ledgers_of_keysweep_are_never_put_back() {
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
    fn of_two_saves_of_a_key_the_first_one_met_counts() {
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
    fn of_two_notes_each_adds_what_the_other_does_not_know() {
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
    fn what_was_not_asked_for_stays_away() {
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
