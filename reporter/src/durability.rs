//! Tracks whether the run's writes are durable. After a failover, the new primary may lack recent writes: deleted keys
//! are back. So the run records which writes exist only in which replication history of which node. At the end, the
//! driver checks that these histories still exist; slots written under a lost history are read again. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::{Covered, Receipt, TaskReport};
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::Decision;

/// A node and one of its replication ids.
pub type NodeReplicationId = (NodeId, String);

/// The unreplicated writes of a run and the checks of their histories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DurabilityTracker {
    /// Slots whose writes are confirmed only by one history, by the generation in which they were made.
    unreplicated: BTreeMap<(u32, NodeReplicationId), SlotSet>,
    checks: BTreeMap<u32, FailoverCheck>,
}

#[derive(Clone, Debug, PartialEq)]
struct FailoverCheck {
    id: TaskId,
    lost_histories: BTreeSet<NodeReplicationId>,
    /// Those of `lost_histories` whose node did not answer or did not report its replication id.
    unknown: BTreeSet<NodeReplicationId>,
    safe: BTreeSet<NodeReplicationId>,
}

impl DurabilityTracker {
    pub(crate) fn written(&mut self, receipt: &Receipt) {
        for writes in &receipt.unreplicated {
            self.add(
                receipt.scan_generation,
                (writes.node.clone(), writes.replication_id.clone()),
                &writes.slots,
            );
        }
    }

    /// A slot that was clean when it was read again is confirmed only by the history it was read from.
    pub(crate) fn rescanned(&mut self, report: &TaskReport) {
        let Some(history) = &report.replication_id else { return };
        let slots = match &report.covered {
            Covered::Slots(slots) => slots.clone(),
            Covered::Ranges { slots: Some(slots), .. } => slots.clone(),
            Covered::Ranges { slots: None, .. } => SlotSet::from_iter([0]),
        };
        self.add(report.scan_generation, (report.node.clone(), history.clone()), &slots);
    }

    fn add(&mut self, scan_generation: u32, history: NodeReplicationId, slots: &SlotSet) {
        self.unreplicated.entry((scan_generation, history)).or_default().extend(slots);
    }

    pub(crate) fn apply(&mut self, decision: &Decision) {
        if let Decision::Check { id, scan_generation, gone, unknown, safe } = decision {
            let set = |histories: &[NodeReplicationId]| histories.iter().cloned().collect();
            let check =
                FailoverCheck { id: *id, lost_histories: set(gone), unknown: set(unknown), safe: set(safe) };
            self.checks.insert(*scan_generation, check);
        }
    }

    /// The checks that must be followed by a task list.
    pub(crate) fn lists(&self) -> impl Iterator<Item = TaskId> {
        self.checks.values().filter(|check| !check.lost_histories.is_empty()).map(|check| check.id)
    }

    /// The generation of the next check.
    #[must_use]
    pub fn next_scan_generation(&self) -> u32 {
        self.checks.keys().next_back().map_or(1, |last| last.saturating_add(1))
    }

    /// The histories to check in generation `scan_generation`: those with unreplicated writes since earlier generations that no
    /// check has found lost or fully replicated.
    #[must_use]
    pub fn open(&self, scan_generation: u32) -> BTreeSet<NodeReplicationId> {
        self.unsettled(scan_generation).map(|(history, _)| history.clone()).collect()
    }

    fn unsettled(&self, scan_generation: u32) -> impl Iterator<Item = (&NodeReplicationId, &SlotSet)> {
        let before = self.unreplicated.iter().filter(move |((since, _), _)| *since < scan_generation);
        before
            .filter(move |((since, history), _)| {
                let mut later = self.checks.range(since + 1..scan_generation);
                !later
                    .any(|(_, check)| check.lost_histories.contains(history) || check.safe.contains(history))
            })
            .map(|((_, history), slots)| (history, slots))
    }

    /// The slots to read again after the check of generation `scan_generation`.
    #[must_use]
    pub fn lost_slots(&self, scan_generation: u32) -> SlotSet {
        let Some(check) = self.checks.get(&scan_generation) else { return SlotSet::new() };
        let gone =
            self.unsettled(scan_generation).filter(|(history, _)| check.lost_histories.contains(history));
        gone.fold(SlotSet::new(), |all, (_, slots)| all.union(slots))
    }

    /// The last check, with its generation, if a task list must follow it.
    #[must_use]
    pub fn last_lost(&self) -> Option<(u32, TaskId)> {
        let (scan_generation, check) = self.checks.last_key_value()?;
        (!check.lost_histories.is_empty()).then_some((*scan_generation, check.id))
    }

    /// All slots that had to be read again.
    pub(crate) fn slots_to_rescan(&self) -> BTreeMap<u32, SlotSet> {
        self.checks
            .keys()
            .map(|scan_generation| (*scan_generation, self.lost_slots(*scan_generation)))
            .filter(|(_, slots)| !slots.is_empty())
            .collect()
    }

    /// The nodes whose histories were lost.
    pub(crate) fn replaced(&self) -> BTreeSet<NodeId> {
        let gone = self.checks.values().flat_map(|check| check.lost_histories.difference(&check.unknown));
        gone.map(|(node, _)| node.clone()).collect()
    }

    /// The nodes that did not report whether their history continues.
    pub(crate) fn unconfirmed(&self) -> BTreeSet<NodeId> {
        self.checks.values().flat_map(|check| &check.unknown).map(|(node, _)| node.clone()).collect()
    }

    /// Whether durability is confirmed: there are no unreplicated writes, or the last check found all histories.
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

    fn history(name: &str) -> NodeReplicationId {
        (NodeId::new("n"), name.to_owned())
    }

    fn slots(all: &[u16]) -> SlotSet {
        all.iter().copied().collect()
    }

    fn check(scan_generation: u32, gone: &[&str], safe: &[&str]) -> Decision {
        let named = |names: &[&str]| names.iter().map(|name| history(name)).collect();
        Decision::Check {
            id: TaskId::new(),
            scan_generation,
            gone: named(gone),
            unknown: Vec::new(),
            safe: named(safe),
        }
    }

    #[test]
    fn an_unreachable_node_is_not_reported_as_replaced() {
        let mut tracker = DurabilityTracker::default();
        tracker.add(0, history("a"), &slots(&[1]));
        let gone = vec![history("a")];
        let (id, unknown) = (TaskId::new(), gone.clone());
        tracker.apply(&Decision::Check { id, scan_generation: 1, gone, unknown, safe: Vec::new() });
        assert_eq!((tracker.replaced(), tracker.lost_slots(1)), (BTreeSet::new(), slots(&[1])));
        assert_eq!(tracker.unconfirmed(), BTreeSet::from([NodeId::new("n")]));
    }

    #[test]
    fn no_writes_need_no_check() {
        assert!(DurabilityTracker::default().is_known());
    }

    #[test]
    fn lost_histories_are_rescanned_once_and_replicated_ones_not_checked_again() {
        let mut tracker = DurabilityTracker::default();
        tracker.add(0, history("a"), &slots(&[1, 2]));
        tracker.add(0, history("b"), &slots(&[3]));
        tracker.add(0, history("c"), &slots(&[4]));
        assert!(!tracker.is_known());
        assert_eq!(tracker.open(1), ["a", "b", "c"].map(history).into());
        tracker.apply(&check(1, &["a"], &["b"]));
        assert!(!tracker.is_known());
        assert_eq!(tracker.lost_slots(1), slots(&[1, 2]));
        // The slots are read again under another history, which may be lost, too, as may the remaining ones.
        tracker.add(1, history("d"), &slots(&[1, 2]));
        assert_eq!(tracker.open(2), ["c", "d"].map(history).into());
        tracker.apply(&check(2, &["c"], &[]));
        assert_eq!(tracker.lost_slots(2), slots(&[4]));
        assert_eq!(tracker.lost_slots(1), slots(&[1, 2]), "later checks do not change it");
        tracker.apply(&check(3, &[], &["d"]));
        assert!(tracker.is_known());
        assert_eq!(tracker.slots_to_rescan(), BTreeMap::from([(1, slots(&[1, 2])), (2, slots(&[4]))]));
    }

    #[test]
    fn a_replicated_history_is_checked_again_after_later_writes() {
        let mut tracker = DurabilityTracker::default();
        tracker.add(0, history("a"), &slots(&[1]));
        tracker.add(0, history("b"), &slots(&[9]));
        tracker.apply(&check(1, &["b"], &["a"]));
        tracker.add(1, history("a"), &slots(&[2]));
        tracker.apply(&check(2, &["a"], &[]));
        assert_eq!(tracker.lost_slots(2), slots(&[2]));
    }
}
