//! The result of an attempt at a batch, and its receipt. Pure.

use keysweep_model::memory::PrefixMemory;
use keysweep_model::messages::{GroupReceipt, Lookups, NodePacing, ReapBatch, Receipt, UnreplicatedWrites};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::SlotSet;
use keysweep_redis::RedisError;
use keysweep_redis::guard::{self, GuardVerdict};

use crate::chunks::Chunk;
use crate::fingerprints::BackupStats;

/// The outcomes of a verdict; `None` if it is too early and nothing was done. `first`: no earlier delivery of the batch
/// was tried. `keeps_ledgers`: the node does not evict keys. If both are false, a missing key may be one that an
/// earlier attempt deleted.
pub(crate) fn outcomes(
    verdict: GuardVerdict,
    keys: usize,
    first: bool,
    keeps_ledgers: bool,
) -> Option<Vec<Outcome>> {
    match verdict {
        GuardVerdict::TooEarly(_) => None,
        GuardVerdict::Outcomes(outcomes) if first || keeps_ledgers => Some(outcomes),
        GuardVerdict::Outcomes(outcomes) => {
            let doubt = |outcome| if outcome == Outcome::Vanished { Outcome::Unconfirmed } else { outcome };
            Some(outcomes.into_iter().map(doubt).collect())
        }
        // Candidates that a later call should have decided.
        GuardVerdict::Partial(begun) => {
            let failed = begun.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Failed)).collect();
            outcomes(GuardVerdict::Outcomes(failed), keys, first, keeps_ledgers)
        }
        GuardVerdict::TooLate if first => Some(vec![Outcome::Unreached; keys]),
        GuardVerdict::TooLate | GuardVerdict::Incomplete => Some(vec![Outcome::Unconfirmed; keys]),
    }
}

/// The result of an attempt at a batch.
#[derive(Default)]
pub(crate) struct BatchResult {
    /// The outcomes by group; empty for groups that have none yet.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
    /// How the batch was throttled, if it was.
    pub(crate) pacing: Option<Box<NodePacing>>,
    /// Writes that the replicas have not confirmed.
    pub(crate) unreplicated: Vec<UnreplicatedWrites>,
    /// Lookups that the guard made in addition to the usual ones.
    pub(crate) extra_lookups: Lookups,
    /// What was saved before the deletion, if the run writes backups or compares values.
    pub(crate) saved: Option<BackupStats>,
    /// The memory that the deletions freed.
    pub(crate) freed: Option<Box<PrefixMemory>>,
    /// Why groups have no outcomes: their slots are moving, or no node serves them.
    pub(crate) failure: Option<RedisError>,
}

impl BatchResult {
    /// The result of an attempt at `batch` that has done nothing yet.
    pub(crate) fn of(batch: &ReapBatch) -> Self {
        Self { outcomes: vec![Vec::new(); batch.groups.len()], ..Self::default() }
    }

    /// The outcomes, filled in for the groups of `batch` that have none, and the unconfirmed writes. `tried`: an
    /// earlier delivery may have acted on these groups.
    pub(crate) fn filled(mut self, batch: &ReapBatch, tried: bool) -> Self {
        let outcome = if tried { Outcome::Unconfirmed } else { Outcome::Unreached };
        for (group, outcomes) in batch.groups.iter().zip(&mut self.outcomes) {
            outcomes.resize(group.keys.len(), outcome);
        }
        Self { outcomes: self.outcomes, unreplicated: self.unreplicated, ..Self::default() }
    }

    /// The receipt of `batch` with this result. `idle`: idle times decide who is inactive.
    pub(crate) fn receipt(self, batch: &ReapBatch, idle: bool, cause: Option<String>) -> Receipt {
        let saved = self.saved.as_ref();
        let mut lookups = saved.map_or_else(Lookups::default, |saved| saved.lookups);
        lookups += self.extra_lookups;
        for (number, (group, outcomes)) in batch.groups.iter().zip(&self.outcomes).enumerate() {
            let saved = saved.and_then(|saved| saved.groups.get(&number)).map(Vec::as_slice);
            lookups += guard::lookups(group.reason, idle, saved, outcomes);
        }
        let groups = batch.groups.iter().zip(self.outcomes);
        let groups = groups
            .map(|(group, outcomes)| GroupReceipt { slot: group.slot, reason: group.reason, outcomes })
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
        }
    }
}

/// The slots of `chunks` in which a key was changed, by the outcomes of the batch's groups.
pub(crate) fn done_in(chunks: &[Chunk<'_>], outcomes: &[Vec<Outcome>]) -> SlotSet {
    let groups = chunks.iter().flatten();
    let done = groups.filter(|(number, _)| outcomes[*number].iter().any(|outcome| outcome.is_changed()));
    done.map(|(_, group)| group.slot).collect()
}

/// The receipt with the same outcome for every candidate of `batch`.
pub(crate) fn uniform(batch: &ReapBatch, outcome: Outcome, cause: Option<String>) -> Receipt {
    let outcomes = batch.groups.iter().map(|group| vec![outcome; group.keys.len()]).collect();
    // None of these outcomes takes a lookup.
    BatchResult { outcomes, ..BatchResult::default() }.receipt(batch, false, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_outcomes_are_unconfirmed() {
        let check = |verdict, first, keeps, expected: Option<&[Outcome]>| {
            assert_eq!(outcomes(verdict, 2, first, keeps).as_deref(), expected);
        };
        use Outcome::{Deleted, Unconfirmed, Unreached, Vanished};
        let found = || GuardVerdict::Outcomes(vec![Deleted, Vanished]);
        check(found(), true, false, Some(&[Deleted, Vanished]));
        check(found(), false, true, Some(&[Deleted, Vanished]));
        check(found(), false, false, Some(&[Deleted, Unconfirmed]));
        let begun = || GuardVerdict::Partial(vec![Some(Vanished), None]);
        check(begun(), true, false, Some(&[Vanished, Outcome::Failed]));
        check(begun(), false, false, Some(&[Unconfirmed, Outcome::Failed]));
        check(GuardVerdict::TooLate, true, true, Some(&[Unreached, Unreached]));
        check(GuardVerdict::TooLate, false, true, Some(&[Unconfirmed, Unconfirmed]));
        check(GuardVerdict::Incomplete, true, true, Some(&[Unconfirmed, Unconfirmed]));
        check(GuardVerdict::TooEarly(5), true, true, None);
    }
}
