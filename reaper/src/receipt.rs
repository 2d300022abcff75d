//! Builds receipts from outcomes. Pure.

use keysweep_model::messages::{GroupReceipt, Lookups, ReapBatch, Receipt};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::SlotSet;
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
        GuardVerdict::Expired if first => Some(vec![Outcome::Unreached; keys]),
        GuardVerdict::Expired | GuardVerdict::Incomplete => Some(vec![Outcome::Unconfirmed; keys]),
    }
}

/// The receipt of `batch` with the `outcomes` of its groups. `idle`: idle times decide who is inactive. `saved`: what
/// was saved before the deletion.
pub(crate) fn receipt(
    batch: &ReapBatch,
    outcomes: Vec<Vec<Outcome>>,
    idle: bool,
    saved: Option<&BackupStats>,
    cause: Option<String>,
) -> Receipt {
    let mut lookups = saved.map_or_else(Lookups::default, |saved| saved.lookups);
    for (number, (group, outcomes)) in batch.groups.iter().zip(&outcomes).enumerate() {
        let saved = saved.and_then(|saved| saved.groups.get(&number)).map(Vec::as_slice);
        lookups += guard::lookups(group.reason, idle, saved, outcomes);
    }
    let groups = batch.groups.iter().zip(outcomes);
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
        pacing: None,
        scan_generation: batch.scan_generation,
        unreplicated: Vec::new(),
        all: None,
        freed: None,
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
    receipt(batch, outcomes, false, None, cause)
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
        check(GuardVerdict::Expired, true, true, Some(&[Unreached, Unreached]));
        check(GuardVerdict::Expired, false, true, Some(&[Unconfirmed, Unconfirmed]));
        check(GuardVerdict::Incomplete, true, true, Some(&[Unconfirmed, Unconfirmed]));
        check(GuardVerdict::TooEarly(5), true, true, None);
    }
}
