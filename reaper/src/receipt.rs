//! Outcomes to receipts. Pure.

use shared::cluster::guard::{self, GuardVerdict};
use shared::messages::{GroupReceipt, Lookups, ReapBatch, Receipt};
use shared::outcome::Outcome;
use shared::slot::SlotSet;

use crate::chunks::Chunk;

use crate::fingerprints::BackupStats;

/// The outcomes that a verdict stands for; `None` if nothing was done because it is too early.
/// `first` says that no earlier delivery of the batch was tried, and `keeps_ledgers` that the node does not
/// evict keys: without either, a key that is missing may be one that we deleted.
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
        // What a later call was to decide, and none did.
        GuardVerdict::Partial(begun) => {
            let failed = begun.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Failed)).collect();
            outcomes(GuardVerdict::Outcomes(failed), keys, first, keeps_ledgers)
        }
        GuardVerdict::Expired if first => Some(vec![Outcome::Unreached; keys]),
        GuardVerdict::Expired | GuardVerdict::Incomplete => Some(vec![Outcome::Unconfirmed; keys]),
    }
}

/// The receipt of `batch` whose groups had these outcomes; `idle` says that idle times decide who is inactive, and
/// `saved` what was saved of them.
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

/// The slots of `chunks` in which something was done, by the outcomes of the batch's groups.
pub(crate) fn done_in(chunks: &[Chunk<'_>], outcomes: &[Vec<Outcome>]) -> SlotSet {
    let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Deleted | Outcome::Expired);
    let groups = chunks.iter().flatten();
    let done = groups.filter(|(number, _)| outcomes[*number].iter().any(is_done));
    done.map(|(_, group)| group.slot).collect()
}

/// The receipt that gives every candidate of `batch` the same outcome.
pub(crate) fn uniform(batch: &ReapBatch, outcome: Outcome, cause: Option<String>) -> Receipt {
    let outcomes = batch.groups.iter().map(|group| vec![outcome; group.keys.len()]).collect();
    // None of these takes a look-up.
    receipt(batch, outcomes, false, None, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_claimed() {
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
