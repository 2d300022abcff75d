//! What was saved of a batch, or what its scanner saw of it, as the script is told: a seal per candidate, and in which of
//! several calls it is its turn. Pure.

use std::collections::BTreeMap;

use shared::cluster::guard::{ExpectedContent, GuardMode, GuardVerdict};
use shared::limits::BACKUP_WRITE_BYTES;
use shared::messages::{Fingerprint, Group, Lookups, RunSpec, Verify};
use shared::outcome::Outcome;

use crate::chunks::Chunk;
use crate::node_session::NodeSession;

/// What was saved of the groups at one node.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    groups: BTreeMap<usize, Vec<(ExpectedContent, u32)>>,
    /// Bytes of values that one call may compare, if fewer than usual.
    round_bytes: Option<u64>,
    /// The bytes in the last round of the group that came last.
    filling: u64,
    /// For the receipt.
    pub(crate) stats: BackupStats,
}

/// What the receipt tells of it.
#[derive(Debug, Default)]
pub(crate) struct BackupStats {
    /// The groups that the script was told of, with whether each candidate was saved as a string.
    pub(crate) groups: BTreeMap<usize, Vec<bool>>,
    /// Look-ups that it took.
    pub(crate) lookups: Lookups,
    /// Keys that were saved.
    pub(crate) keys: u64,
    /// Keys that were not, because they take too many bytes.
    pub(crate) too_large: u64,
    /// Keys of which the scanner has no fingerprint, because they take too many bytes.
    pub(crate) unverified: u64,
}

impl BackupStats {
    /// Takes in what is told of another node.
    pub(crate) fn add(&mut self, other: Self) {
        self.groups.extend(other.groups);
        self.lookups += other.lookups;
        self.keys += other.keys;
        self.too_large += other.too_large;
        self.unverified += other.unverified;
    }
}

impl Fingerprints {
    /// None yet; one call will compare at most `bytes` of values.
    pub(crate) fn in_rounds_of(bytes: u64) -> Self {
        Self { round_bytes: Some(bytes), ..Self::default() }
    }

    /// What the scanner saw of the candidates of `groups` that are to be deleted; one call will compare at most `bytes`.
    pub(crate) fn of_scan<'g>(groups: impl Iterator<Item = &'g (usize, &'g Group)>, bytes: u64) -> Self {
        let mut seals = Self::in_rounds_of(bytes);
        for (number, group) in groups {
            for print in &group.fingerprints {
                match print {
                    Fingerprint::TooLarge => seals.add_unverified(*number),
                    print => seals.add(*number, ExpectedContent::of_scan(print), print.bytes()),
                }
            }
        }
        seals
    }

    /// Adds the next candidate of group `number`, of which it is not known what it held at the scan.
    pub(crate) fn add_unverified(&mut self, number: usize) {
        self.stats.unverified += 1;
        self.push(number, ExpectedContent::Unsaved, 0);
    }

    /// Adds the next candidate of group `number`, which takes about `bytes`.
    pub(crate) fn add(&mut self, number: usize, seal: ExpectedContent, bytes: u64) {
        match seal {
            ExpectedContent::Text(_) | ExpectedContent::Value { .. } => self.stats.keys += 1,
            ExpectedContent::Unsaved => self.stats.too_large += 1,
            ExpectedContent::Absent | ExpectedContent::Later => {}
        }
        self.push(number, seal, bytes);
    }

    /// A script call compares no more than [`BACKUP_WRITE_BYTES`], because the server serves no other client meanwhile.
    fn push(&mut self, number: usize, seal: ExpectedContent, bytes: u64) {
        let group = self.groups.entry(number).or_default();
        let bytes =
            if matches!(seal, ExpectedContent::Text(_) | ExpectedContent::Value { .. }) { bytes } else { 0 };
        let round = group.last().map_or(0, |(_, round)| *round);
        let most = self.round_bytes.unwrap_or(BACKUP_WRITE_BYTES);
        let fits = group.is_empty() || bytes == 0 || self.filling + bytes <= most;
        self.filling = if fits && !group.is_empty() { self.filling + bytes } else { bytes };
        self.stats.groups.entry(number).or_default().push(seal.is_text());
        group.push((seal, if fits { round } else { round + 1 }));
    }

    /// The calls that all `groups` take, one after the other.
    pub(crate) fn rounds(&self, groups: &[(usize, &Group)]) -> u32 {
        let last = |(number, _): &(usize, &Group)| Some(self.groups.get(number)?.last()?.1);
        groups.iter().filter_map(last).max().unwrap_or(0) + 1
    }

    /// Those of `groups` that have candidates in `round`, with their seals.
    pub(crate) fn round<'g>(
        &self,
        groups: &[(usize, &'g Group)],
        round: u32,
    ) -> Vec<((usize, &'g Group), Vec<ExpectedContent>)> {
        let seals = |number: &usize| {
            let group = self.groups.get(number)?;
            let due = group.last().is_some_and(|(_, last)| *last >= round);
            let seal = |(seal, of): &(ExpectedContent, u32)| {
                if *of == round { seal.clone() } else { ExpectedContent::Later }
            };
            due.then(|| group.iter().map(seal).collect())
        };
        groups.iter().filter_map(|group| Some((*group, seals(&group.0)?))).collect()
    }
}

/// What is known of a group after a call answered `now`, when calls before answered `before`: what they have done stays
/// done, even if it is too late by now, or their ledger was evicted.
pub(crate) fn merged(before: &GuardVerdict, now: GuardVerdict) -> GuardVerdict {
    let before: Vec<Option<Outcome>> = match before {
        GuardVerdict::Outcomes(outcomes) => outcomes.iter().copied().map(Some).collect(),
        GuardVerdict::Partial(outcomes) => outcomes.clone(),
        GuardVerdict::TooEarly(_) | GuardVerdict::Expired | GuardVerdict::Incomplete => return now,
    };
    let now: Vec<Option<Outcome>> = match now {
        GuardVerdict::Outcomes(outcomes) => outcomes.into_iter().map(Some).collect(),
        GuardVerdict::Partial(outcomes) => outcomes,
        // Another attempt may have decided more.
        GuardVerdict::TooEarly(_) | GuardVerdict::Expired | GuardVerdict::Incomplete => {
            vec![Some(Outcome::Unconfirmed); before.len()]
        }
    };
    let all: Vec<Option<Outcome>> = before.into_iter().zip(now).map(|(before, now)| before.or(now)).collect();
    match all.iter().copied().collect() {
        Some(outcomes) => GuardVerdict::Outcomes(outcomes),
        None => GuardVerdict::Partial(all),
    }
}

/// What the scanner saw of the candidates of `chunks`, if the run compares values.
pub(crate) fn scanned(
    ready: &NodeSession,
    chunks: &[Chunk<'_>],
    mode: GuardMode,
    spec: &RunSpec,
) -> Option<Fingerprints> {
    let compares = matches!(mode, GuardMode::Act(_)) && spec.rules.verify == Verify::Value;
    let bytes = ready.conn.value_bytes_at_once().min(BACKUP_WRITE_BYTES);
    compares.then(|| Fingerprints::of_scan(chunks.iter().flatten(), bytes))
}

#[cfg(test)]
mod tests {
    use shared::key::Key;
    use shared::messages::Reason;

    use super::*;

    #[test]
    fn what_a_call_has_done_stays_done_whatever_the_next_one_says() {
        use Outcome::{Deleted, Spared, Unconfirmed};
        let before = GuardVerdict::Partial(vec![Some(Deleted), None, None]);
        let check = |now, expected| assert_eq!(merged(&before, now), expected);
        let known = GuardVerdict::Outcomes(vec![Deleted, Unconfirmed, Unconfirmed]);
        check(GuardVerdict::Expired, known.clone());
        check(GuardVerdict::Incomplete, known);
        // A ledger that was evicted in between knows nothing of the first.
        let anew = GuardVerdict::Partial(vec![None, Some(Spared), None]);
        check(anew, GuardVerdict::Partial(vec![Some(Deleted), Some(Spared), None]));
        let all = GuardVerdict::Outcomes(vec![Deleted, Spared, Deleted]);
        check(all.clone(), all);
        assert_eq!(merged(&GuardVerdict::Expired, GuardVerdict::Expired), GuardVerdict::Expired);
    }

    #[test]
    fn large_values_take_several_calls_each_with_its_own_candidates() {
        let value = || ExpectedContent::of(b"12345678901");
        let mut seals = Fingerprints::default();
        for bytes in [BACKUP_WRITE_BYTES / 2, BACKUP_WRITE_BYTES / 2, 100, 3 * BACKUP_WRITE_BYTES] {
            seals.add(4, value(), bytes);
        }
        seals.add(4, ExpectedContent::Unsaved, 50 * BACKUP_WRITE_BYTES);
        seals.add(7, value(), 100);
        seals.add(7, ExpectedContent::Absent, 0);
        let group = |keys| Group {
            slot: 0,
            reason: Reason::Stale,
            keys: vec![Key::new(*b"k"); keys],
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        let (large, small) = (group(5), group(2));
        let groups = [(4, &large), (7, &small)];
        assert_eq!(seals.rounds(&groups), 3);
        let later = || ExpectedContent::Later;
        let check = |round, expected: &[(usize, &[ExpectedContent])]| {
            let found = seals.round(&groups, round);
            let found: Vec<(usize, &[ExpectedContent])> =
                found.iter().map(|((number, _), seals)| (*number, seals.as_slice())).collect();
            assert_eq!(found, expected, "round {round}");
        };
        check(
            0,
            &[(4, &[value(), value(), later(), later(), later()]), (7, &[value(), ExpectedContent::Absent])],
        );
        check(1, &[(4, &[later(), later(), value(), later(), later()])]);
        check(2, &[(4, &[later(), later(), later(), value(), ExpectedContent::Unsaved])]);
        assert_eq!((seals.stats.keys, seals.stats.too_large), (5, 1));
        assert_eq!(seals.rounds(&groups[1..]), 1);
    }
}
