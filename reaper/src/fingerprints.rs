//! The expected contents of a batch's candidates, for the guard: what was saved, or what the scanner saw. Large values
//! are compared in several calls, so each candidate has the number of its call. Pure.

use std::collections::BTreeMap;

use keysweep_model::messages::{Fingerprint, Group, Lookups};
use keysweep_model::outcome::Outcome;
use keysweep_redis::guard::{ExpectedContent, GuardVerdict};
use keysweep_redis::limits::BACKUP_WRITE_BYTES;

/// The expected contents of the groups at one node.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    groups: BTreeMap<usize, Vec<(ExpectedContent, u32)>>,
    /// The most bytes of values to compare in one call, if lower than usual.
    call_bytes: Option<u64>,
    /// The bytes in the last call of the last group.
    filling: u64,
    /// Statistics for the receipt.
    pub(crate) stats: BackupStats,
}

/// Statistics for the receipt.
#[derive(Debug, Default)]
pub(crate) struct BackupStats {
    /// The groups with expected contents, with whether each candidate was saved as a string.
    pub(crate) groups: BTreeMap<usize, Vec<bool>>,
    /// Lookups made to read the values.
    pub(crate) lookups: Lookups,
    /// Keys that were saved.
    pub(crate) keys: u64,
    /// Keys that were not saved because they are too large.
    pub(crate) too_large: u64,
    /// Keys without a fingerprint from the scanner because they are too large.
    pub(crate) unverified: u64,
}

impl BackupStats {
    /// Adds the statistics of another node.
    pub(crate) fn add(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.lookups += other.lookups;
        self.keys += other.keys;
        self.too_large += other.too_large;
        self.unverified += other.unverified;
    }
}

impl Fingerprints {
    /// Creates an empty set; one call compares at most `bytes` of values.
    pub(crate) fn with_call_bytes(bytes: u64) -> Self {
        Self { call_bytes: Some(bytes), ..Self::default() }
    }

    /// The scanner's fingerprints of the candidates of `groups` to be deleted; one call compares at most `bytes`.
    pub(crate) fn of_scan<'g>(groups: impl Iterator<Item = &'g (usize, &'g Group)>, bytes: u64) -> Self {
        let mut expected = Self::with_call_bytes(bytes);
        for (number, group) in groups {
            for print in &group.fingerprints {
                match print {
                    Fingerprint::TooLarge => expected.add_unverified(*number),
                    print => expected.add(*number, ExpectedContent::of_scan(print), print.bytes()),
                }
            }
        }
        expected
    }

    /// Adds the next candidate of group `number`, whose value at the scan is unknown.
    pub(crate) fn add_unverified(&mut self, number: usize) {
        self.stats.unverified += 1;
        self.push(number, ExpectedContent::Unsaved, 0);
    }

    /// Adds the next candidate of group `number`, whose value takes about `bytes`.
    pub(crate) fn add(&mut self, number: usize, content: ExpectedContent, bytes: u64) {
        match content {
            ExpectedContent::Text(_) | ExpectedContent::Value { .. } => self.stats.keys += 1,
            ExpectedContent::Unsaved => self.stats.too_large += 1,
            ExpectedContent::Absent | ExpectedContent::Later => {}
        }
        self.push(number, content, bytes);
    }

    /// A script call compares at most [`BACKUP_WRITE_BYTES`], because the server serves no other client during the
    /// call.
    fn push(&mut self, number: usize, content: ExpectedContent, bytes: u64) {
        let group = self.groups.entry(number).or_default();
        let bytes = if matches!(content, ExpectedContent::Text(_) | ExpectedContent::Value { .. }) {
            bytes
        } else {
            0
        };
        let call = group.last().map_or(0, |(_, call)| *call);
        let most = self.call_bytes.unwrap_or(BACKUP_WRITE_BYTES);
        let fits = group.is_empty() || bytes == 0 || self.filling + bytes <= most;
        self.filling = if fits && !group.is_empty() { self.filling + bytes } else { bytes };
        self.stats.groups.entry(number).or_default().push(content.is_text());
        group.push((content, if fits { call } else { call + 1 }));
    }

    /// How many calls `groups` take, one after the other.
    pub(crate) fn calls(&self, groups: &[(usize, &Group)]) -> u32 {
        let last = |(number, _): &(usize, &Group)| Some(self.groups.get(number)?.last()?.1);
        groups.iter().filter_map(last).max().unwrap_or(0) + 1
    }

    /// The groups that have candidates in call `call`, with their expected contents.
    pub(crate) fn due_in<'g>(
        &self,
        groups: &[(usize, &'g Group)],
        call: u32,
    ) -> Vec<((usize, &'g Group), Vec<ExpectedContent>)> {
        let expected = |number: &usize| {
            let group = self.groups.get(number)?;
            let due = group.last().is_some_and(|(_, last)| *last >= call);
            let content = |(content, of): &(ExpectedContent, u32)| {
                if *of == call { content.clone() } else { ExpectedContent::Later }
            };
            due.then(|| group.iter().map(content).collect())
        };
        groups.iter().filter_map(|group| Some((*group, expected(&group.0)?))).collect()
    }
}

/// Merges the verdict `now` on a group with the verdict `before` of earlier calls: outcomes of earlier calls stay, even
/// if it is too late now or the ledger was evicted.
pub(crate) fn merged(before: &GuardVerdict, now: GuardVerdict) -> GuardVerdict {
    let before: Vec<Option<Outcome>> = match before {
        GuardVerdict::Outcomes(outcomes) => outcomes.iter().copied().map(Some).collect(),
        GuardVerdict::Partial(outcomes) => outcomes.clone(),
        GuardVerdict::TooEarly(_) | GuardVerdict::TooLate | GuardVerdict::Incomplete => return now,
    };
    let now: Vec<Option<Outcome>> = match now {
        GuardVerdict::Outcomes(outcomes) => outcomes.into_iter().map(Some).collect(),
        GuardVerdict::Partial(outcomes) => outcomes,
        // Another attempt may have decided more candidates.
        GuardVerdict::TooEarly(_) | GuardVerdict::TooLate | GuardVerdict::Incomplete => {
            vec![Some(Outcome::Unconfirmed); before.len()]
        }
    };
    let all: Vec<Option<Outcome>> = before.into_iter().zip(now).map(|(before, now)| before.or(now)).collect();
    match all.iter().copied().collect() {
        Some(outcomes) => GuardVerdict::Outcomes(outcomes),
        None => GuardVerdict::Partial(all),
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::key::Key;
    use keysweep_model::messages::Reason;

    use super::*;

    #[test]
    fn outcomes_of_earlier_calls_are_kept() {
        use Outcome::{Deleted, Spared, Unconfirmed};
        let before = GuardVerdict::Partial(vec![Some(Deleted), None, None]);
        let check = |now, expected| assert_eq!(merged(&before, now), expected);
        let known = GuardVerdict::Outcomes(vec![Deleted, Unconfirmed, Unconfirmed]);
        check(GuardVerdict::TooLate, known.clone());
        check(GuardVerdict::Incomplete, known);
        // A ledger that was evicted in between does not contain the first outcome.
        let evicted = GuardVerdict::Partial(vec![None, Some(Spared), None]);
        check(evicted, GuardVerdict::Partial(vec![Some(Deleted), Some(Spared), None]));
        let all = GuardVerdict::Outcomes(vec![Deleted, Spared, Deleted]);
        check(all.clone(), all);
        assert_eq!(merged(&GuardVerdict::TooLate, GuardVerdict::TooLate), GuardVerdict::TooLate);
    }

    #[test]
    fn large_values_are_compared_in_several_calls() {
        let value = || ExpectedContent::of(b"12345678901");
        let mut fingerprints = Fingerprints::default();
        for bytes in [BACKUP_WRITE_BYTES / 2, BACKUP_WRITE_BYTES / 2, 100, 3 * BACKUP_WRITE_BYTES] {
            fingerprints.add(4, value(), bytes);
        }
        fingerprints.add(4, ExpectedContent::Unsaved, 50 * BACKUP_WRITE_BYTES);
        fingerprints.add(7, value(), 100);
        fingerprints.add(7, ExpectedContent::Absent, 0);
        let group = |keys| Group {
            slot: 0,
            reason: Reason::Stale,
            keys: vec![Key::new(*b"k"); keys],
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        let (large, small) = (group(5), group(2));
        let groups = [(4, &large), (7, &small)];
        assert_eq!(fingerprints.calls(&groups), 3);
        let later = || ExpectedContent::Later;
        let check = |call, expected: &[(usize, &[ExpectedContent])]| {
            let found = fingerprints.due_in(&groups, call);
            let found: Vec<(usize, &[ExpectedContent])> =
                found.iter().map(|((number, _), expected)| (*number, expected.as_slice())).collect();
            assert_eq!(found, expected, "call {call}");
        };
        check(
            0,
            &[(4, &[value(), value(), later(), later(), later()]), (7, &[value(), ExpectedContent::Absent])],
        );
        check(1, &[(4, &[later(), later(), value(), later(), later()])]);
        check(2, &[(4, &[later(), later(), later(), value(), ExpectedContent::Unsaved])]);
        assert_eq!((fingerprints.stats.keys, fingerprints.stats.too_large), (5, 1));
        assert_eq!(fingerprints.calls(&groups[1..]), 1);
    }
}
