//! The result of an attempt at a batch, and its receipt. Pure.

use std::collections::BTreeSet;

use keysweep_model::ledger::UsedLedgers;
use keysweep_model::memory::PrefixMemory;
use keysweep_model::messages::{GroupReceipt, Lookups, NodePacing, ReapBatch, Receipt, UnreplicatedWrites};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::SlotSet;
use keysweep_redis::RedisError;
use keysweep_redis::guard::{self, ExpectedContent, GuardVerdict};

use crate::fingerprints::{BackupStats, Fingerprints};
use crate::work::{Place, PlaceId, Work};

/// The outcomes of a verdict on so many candidates; `None` for those that its ledger leaves to the ledgers of their
/// slots. No outcomes if it is too early and nothing was done. `first`: no earlier delivery of the batch was tried.
pub(crate) fn outcomes(
    verdict: GuardVerdict,
    candidates: usize,
    first: bool,
) -> Option<Vec<Option<Outcome>>> {
    match verdict {
        GuardVerdict::TooEarly(_) => None,
        GuardVerdict::Outcomes(outcomes) => Some(outcomes.into_iter().map(Some).collect()),
        GuardVerdict::Partial(outcomes) => Some(outcomes),
        GuardVerdict::TooLate if first => Some(vec![Some(Outcome::Unreached); candidates]),
        GuardVerdict::TooLate | GuardVerdict::Incomplete => {
            Some(vec![Some(Outcome::Unconfirmed); candidates])
        }
    }
}

/// The result of an attempt at a batch.
#[derive(Default)]
pub(crate) struct BatchResult {
    /// The outcomes by group and candidate.
    pub(crate) outcomes: Vec<Vec<Option<Outcome>>>,
    /// Candidates that a node ledger leaves to the ledgers of their slots.
    pub(crate) elsewhere: BTreeSet<PlaceId>,
    /// How the batch was throttled, if it was.
    pub(crate) pacing: Option<Box<NodePacing>>,
    /// Writes that the replicas have not confirmed.
    pub(crate) unreplicated: Vec<UnreplicatedWrites>,
    /// Lookups that the guard made.
    pub(crate) lookups: Lookups,
    /// What was saved before the deletion, if the run writes backups or compares values.
    pub(crate) saved: Option<BackupStats>,
    /// The memory that the deletions freed.
    pub(crate) freed: Option<Box<PrefixMemory>>,
    /// Why candidates have no outcomes: their slots are moving, or no node serves them.
    pub(crate) failure: Option<RedisError>,
    /// Whether the run was cancelled during the attempt, which left the other candidates unreached.
    pub(crate) sealed: bool,
}

impl BatchResult {
    /// The result of an attempt at `batch` that has done nothing yet.
    pub(crate) fn of(batch: &ReapBatch) -> Self {
        let outcomes = batch.groups.iter().map(|group| vec![None; group.keys.len()]).collect();
        Self { outcomes, ..Self::default() }
    }

    /// Records the outcomes of the candidates of `work`, in their order, and the lookups that they took. `idle`: idle
    /// times decide who is inactive; `fingerprints`: what was compared. Returns the slots in which a key was changed.
    pub(crate) fn record(
        &mut self,
        work: &Work<'_>,
        outcomes: &[Option<Outcome>],
        idle: bool,
        fingerprints: Option<&Fingerprints>,
    ) -> SlotSet {
        let mut changed = Vec::new();
        let compared = |place: &Place<'_>| fingerprints.and_then(|known| known.expected(place.id()));
        let is_text = |place: &Place<'_>| compared(place).is_some_and(ExpectedContent::is_text);
        let decided =
            work.places.iter().zip(outcomes).filter_map(|(place, outcome)| Some((place, (*outcome)?)));
        let (texts, known): (Vec<bool>, Vec<Outcome>) =
            decided.map(|(place, outcome)| (is_text(place), outcome)).unzip();
        let saved = work.places.first().and_then(compared).map(|_| texts.as_slice());
        self.lookups += guard::lookups(work.reason, idle, saved, &known);
        for (place, outcome) in work.places.iter().zip(outcomes) {
            self.outcomes[place.group][place.index] = *outcome;
            if outcome.is_none() {
                self.elsewhere.insert(place.id());
            }
            if outcome.is_some_and(Outcome::is_changed) {
                changed.push(place.of.slot);
            }
        }
        changed.into_iter().collect()
    }

    /// The outcomes, filled in for candidates that have none, the unconfirmed writes, and the lookups. `tried`: an
    /// earlier delivery may have acted on these candidates.
    pub(crate) fn filled(mut self, tried: bool) -> Self {
        let unknown = if tried { Outcome::Unconfirmed } else { Outcome::Unreached };
        for outcome in self.outcomes.iter_mut().flatten() {
            outcome.get_or_insert(unknown);
        }
        Self { pacing: None, saved: None, freed: None, failure: None, ..self }
    }

    /// The receipt of `batch` with this result. Candidates without an outcome are unconfirmed.
    pub(crate) fn receipt(self, batch: &ReapBatch, cause: Option<String>) -> Receipt {
        let mut lookups = self.saved.map_or_else(Lookups::default, |saved| saved.lookups);
        lookups += self.lookups;
        let mut own: Vec<u32> =
            self.elsewhere.iter().filter_map(|(group, _)| u32::try_from(*group).ok()).collect();
        own.dedup();
        let groups = batch.groups.iter().zip(self.outcomes);
        let groups = groups
            .map(|(group, outcomes)| {
                let outcomes =
                    outcomes.into_iter().map(|known| known.unwrap_or(Outcome::Unconfirmed)).collect();
                GroupReceipt { slot: group.slot, reason: group.reason, outcomes }
            })
            .collect();
        Receipt {
            run: batch.run,
            batch: batch.batch,
            node: batch.node.clone(),
            groups,
            lookups,
            cause,
            pacing: self.pacing,
            scan_generation: batch.scan_generation,
            unreplicated: self.unreplicated,
            all: None,
            freed: self.freed,
            ledgers: Some(UsedLedgers { node_keys: batch.ledger_keys, groups: own }),
        }
    }
}

/// The receipt with the same outcome for every candidate of `batch`.
pub(crate) fn uniform(batch: &ReapBatch, outcome: Outcome, cause: Option<String>) -> Receipt {
    let outcomes = batch.groups.iter().map(|group| vec![Some(outcome); group.keys.len()]).collect();
    BatchResult { outcomes, ..BatchResult::default() }.receipt(batch, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_outcomes_are_unconfirmed() {
        let check = |verdict, first, expected: Option<&[Option<Outcome>]>| {
            assert_eq!(outcomes(verdict, 2, first).as_deref(), expected);
        };
        use Outcome::{Deleted, Unconfirmed, Unreached, Vanished};
        let found = || GuardVerdict::Outcomes(vec![Deleted, Vanished]);
        check(found(), true, Some(&[Some(Deleted), Some(Vanished)]));
        check(found(), false, Some(&[Some(Deleted), Some(Vanished)]));
        check(GuardVerdict::Partial(vec![Some(Vanished), None]), false, Some(&[Some(Vanished), None]));
        check(GuardVerdict::TooLate, true, Some(&[Some(Unreached); 2]));
        check(GuardVerdict::TooLate, false, Some(&[Some(Unconfirmed); 2]));
        check(GuardVerdict::Incomplete, true, Some(&[Some(Unconfirmed); 2]));
        check(GuardVerdict::TooEarly(5), true, None);
    }
}
