//! Whether what a run has done still holds. A primary that fails may take with it what its replicas did not have
//! yet: deleted keys are back then. So the run remembers which history of which node alone vouches for what, and its
//! driver checks in the end that these histories are still there; what was done under one that is gone is read again.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{NodeId, TaskId};
use shared::messages::{Covered, Receipt, TaskReport};
use shared::records::Decision;
use shared::slot::SlotSet;

/// A node, and one of its histories.
pub type ReplicationId = (NodeId, String);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DurabilityTracker {
    /// Slots that only a history vouches for, by the round in which it came to do so.
    unreplicated: BTreeMap<(u32, ReplicationId), SlotSet>,
    checks: BTreeMap<u32, FailoverCheck>,
}

#[derive(Clone, Debug, PartialEq)]
struct FailoverCheck {
    id: TaskId,
    lost_histories: BTreeSet<ReplicationId>,
    /// Those of `gone` whose node did not answer, or did not name its history.
    unknown: BTreeSet<ReplicationId>,
    safe: BTreeSet<ReplicationId>,
}

impl DurabilityTracker {
    pub(crate) fn done(&mut self, receipt: &Receipt) {
        for vouched in &receipt.unreplicated {
            self.add(
                receipt.scan_generation,
                (vouched.node.clone(), vouched.replication_id.clone()),
                &vouched.slots,
            );
        }
    }

    /// What was found in order when it was read again is so by that history.
    pub(crate) fn read_again(&mut self, report: &TaskReport) {
        let Some(history) = &report.replication_id else { return };
        let slots = match &report.covered {
            Covered::Slots(slots) => slots.clone(),
            Covered::Ranges { slots: Some(slots), .. } => slots.clone(),
            Covered::Ranges { slots: None, .. } => SlotSet::from_iter([0]),
        };
        self.add(report.scan_generation, (report.node.clone(), history.clone()), &slots);
    }

    fn add(&mut self, round: u32, history: ReplicationId, slots: &SlotSet) {
        self.unreplicated.entry((round, history)).or_default().extend(slots);
    }

    pub(crate) fn apply(&mut self, decision: &Decision) {
        if let Decision::Check { id, round, gone, unknown, safe } = decision {
            let set = |histories: &[ReplicationId]| histories.iter().cloned().collect();
            let check =
                FailoverCheck { id: *id, lost_histories: set(gone), unknown: set(unknown), safe: set(safe) };
            self.checks.insert(*round, check);
        }
    }

    /// The lists of tasks that must follow the checks.
    pub(crate) fn lists(&self) -> impl Iterator<Item = TaskId> {
        self.checks.values().filter(|check| !check.lost_histories.is_empty()).map(|check| check.id)
    }

    /// The round of the next check.
    #[must_use]
    pub fn next_round(&self) -> u32 {
        self.checks.keys().next_back().map_or(1, |last| last.saturating_add(1))
    }

    /// The histories to be checked in `round`: those that vouch for something since before and of which no check has
    /// said that they are gone, or that replicas have it all.
    #[must_use]
    pub fn open(&self, round: u32) -> BTreeSet<ReplicationId> {
        self.unsettled(round).map(|(history, _)| history.clone()).collect()
    }

    fn unsettled(&self, round: u32) -> impl Iterator<Item = (&ReplicationId, &SlotSet)> {
        let before = self.unreplicated.iter().filter(move |((since, _), _)| *since < round);
        before
            .filter(move |((since, history), _)| {
                let mut later = self.checks.range(since + 1..round);
                !later
                    .any(|(_, check)| check.lost_histories.contains(history) || check.safe.contains(history))
            })
            .map(|((_, history), slots)| (history, slots))
    }

    /// The slots that have to be read again after the check of `round`.
    #[must_use]
    pub fn undone(&self, round: u32) -> SlotSet {
        let Some(check) = self.checks.get(&round) else { return SlotSet::new() };
        let gone = self.unsettled(round).filter(|(history, _)| check.lost_histories.contains(history));
        gone.fold(SlotSet::new(), |all, (_, slots)| all.union(slots))
    }

    /// The last check that a list must follow, with its round.
    #[must_use]
    pub fn last_gone(&self) -> Option<(u32, TaskId)> {
        let (round, check) = self.checks.last_key_value()?;
        (!check.lost_histories.is_empty()).then_some((*round, check.id))
    }

    /// All slots that had to be read again.
    pub(crate) fn slots_to_rescan(&self) -> BTreeMap<u32, SlotSet> {
        self.checks
            .keys()
            .map(|round| (*round, self.undone(*round)))
            .filter(|(_, slots)| !slots.is_empty())
            .collect()
    }

    /// The nodes whose histories are gone.
    pub(crate) fn replaced(&self) -> BTreeSet<NodeId> {
        let gone = self.checks.values().flat_map(|check| check.lost_histories.difference(&check.unknown));
        gone.map(|(node, _)| node.clone()).collect()
    }

    /// The nodes that did not say whether they go on with their history.
    pub(crate) fn unconfirmed(&self) -> BTreeSet<NodeId> {
        self.checks.values().flat_map(|check| &check.unknown).map(|(node, _)| node.clone()).collect()
    }

    /// Whether it is known: nothing is vouched for by one history alone, or the last check found them all there.
    pub(crate) fn is_known(&self) -> bool {
        match self.checks.last_key_value() {
            Some((_, check)) => check.lost_histories.is_empty(),
            None => self.unreplicated.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(name: &str) -> ReplicationId {
        (NodeId::new("n"), name.to_owned())
    }

    fn slots(all: &[u16]) -> SlotSet {
        all.iter().copied().collect()
    }

    fn check(round: u32, gone: &[&str], safe: &[&str]) -> Decision {
        let named = |names: &[&str]| names.iter().map(|name| history(name)).collect();
        Decision::Check {
            id: TaskId::new(),
            round,
            gone: named(gone),
            unknown: Vec::new(),
            safe: named(safe),
        }
    }

    #[test]
    fn a_node_that_could_not_be_asked_was_not_replaced() {
        let mut holding = DurabilityTracker::default();
        holding.add(0, history("a"), &slots(&[1]));
        let gone = vec![history("a")];
        let (id, unknown) = (TaskId::new(), gone.clone());
        holding.apply(&Decision::Check { id, round: 1, gone, unknown, safe: Vec::new() });
        assert_eq!((holding.replaced(), holding.undone(1)), (BTreeSet::new(), slots(&[1])));
        assert_eq!(holding.unconfirmed(), BTreeSet::from([NodeId::new("n")]));
    }

    #[test]
    fn nothing_to_vouch_for_is_known_without_a_check() {
        assert!(DurabilityTracker::default().is_known());
    }

    #[test]
    fn what_is_gone_is_undone_once_and_what_is_safe_is_not_asked_for_again() {
        let mut holding = DurabilityTracker::default();
        holding.add(0, history("a"), &slots(&[1, 2]));
        holding.add(0, history("b"), &slots(&[3]));
        holding.add(0, history("c"), &slots(&[4]));
        assert!(!holding.is_known());
        assert_eq!(holding.open(1), ["a", "b", "c"].map(history).into());
        holding.apply(&check(1, &["a"], &["b"]));
        assert!(!holding.is_known());
        assert_eq!(holding.undone(1), slots(&[1, 2]));
        // They are read again under another history, which may go in turn; so may that which was there.
        holding.add(1, history("d"), &slots(&[1, 2]));
        assert_eq!(holding.open(2), ["c", "d"].map(history).into());
        holding.apply(&check(2, &["c"], &[]));
        assert_eq!(holding.undone(2), slots(&[4]));
        assert_eq!(holding.undone(1), slots(&[1, 2]), "later checks change nothing about it");
        holding.apply(&check(3, &[], &["d"]));
        assert!(holding.is_known());
        assert_eq!(holding.slots_to_rescan(), BTreeMap::from([(1, slots(&[1, 2])), (2, slots(&[4]))]));
    }

    #[test]
    fn a_history_that_was_safe_vouches_for_what_is_done_later() {
        let mut holding = DurabilityTracker::default();
        holding.add(0, history("a"), &slots(&[1]));
        holding.add(0, history("b"), &slots(&[9]));
        holding.apply(&check(1, &["b"], &["a"]));
        holding.add(1, history("a"), &slots(&[2]));
        holding.apply(&check(2, &["a"], &[]));
        assert_eq!(holding.undone(2), slots(&[2]));
    }
}
