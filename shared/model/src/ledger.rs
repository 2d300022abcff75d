//! Which ledger keys a batch has, and which candidates each of them records. This follows from the batch alone, so that
//! every attempt at the batch, at any node and at any pace, finds what an earlier one has recorded. Pure.

use serde::{Deserialize, Serialize};

use crate::ids::{BatchId, RunId};
use crate::messages::Reason;
use crate::slot::tag_for;

/// What a ledger records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerKind {
    /// The candidates of several groups, in any slots of a node.
    Node,
    /// The candidates of one group, all in the slot of the ledger.
    Slot,
}

/// A ledger key of a run. A run has many, so the name is built only when needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// What it records.
    pub kind: LedgerKind,
    /// The batch.
    pub batch: BatchId,
    /// The number of its group in the batch; of several groups, the first.
    pub group: u32,
    /// The slot of that group, which is also the slot of the ledger key.
    pub slot: u16,
}

impl Ledger {
    /// The name of the key.
    #[must_use]
    pub fn key(&self, run: RunId) -> Vec<u8> {
        let Self { kind, batch, group, slot } = self;
        let kind = if *kind == LedgerKind::Node { "node:" } else { "" };
        format!("keysweep:ledger:{{{}}}:{run}:{batch}:{kind}{group}", tag_for(*slot)).into_bytes()
    }
}

/// The ledgers that a batch used, for their removal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedLedgers {
    /// See [`crate::messages::ReapBatch::ledger_keys`].
    pub node_keys: u32,
    /// The numbers of the groups with a ledger of their own.
    pub groups: Vec<u32>,
}

impl UsedLedgers {
    /// The ledgers of `batch`, whose groups have these slots, reasons and numbers of keys.
    #[must_use]
    pub fn of(&self, batch: BatchId, groups: &[(u16, Reason, usize)]) -> Vec<Ledger> {
        let sizes: Vec<(Reason, usize)> = groups.iter().map(|(_, reason, keys)| (*reason, *keys)).collect();
        let node = node_ledgers(&sizes, self.node_keys).into_iter().filter_map(|of| of.first().copied());
        let node = node.map(|group| (LedgerKind::Node, group));
        let own = self.groups.iter().map(|group| (LedgerKind::Slot, *group as usize));
        let ledger = |(kind, group): (LedgerKind, usize)| {
            let (slot, ..) = *groups.get(group)?;
            Some(Ledger { kind, batch, group: u32::try_from(group).ok()?, slot })
        };
        node.chain(own).filter_map(ledger).collect()
    }
}

/// The groups of each node ledger, by the reason and the number of keys of all groups: as many groups with the same
/// reason as have at most `keys_max` keys together, and at least one. None if `keys_max` is 0.
#[must_use]
pub fn node_ledgers(groups: &[(Reason, usize)], keys_max: u32) -> Vec<Vec<usize>> {
    let mut ledgers: Vec<Vec<usize>> = Vec::new();
    if keys_max == 0 {
        return ledgers;
    }
    for reason in Reason::ALL {
        let mut filled = usize::MAX;
        for (number, (_, keys)) in groups.iter().enumerate().filter(|(_, (of, _))| *of == reason) {
            let fits = filled.saturating_add(*keys) <= keys_max as usize;
            match ledgers.last_mut().filter(|_| fits) {
                Some(ledger) => ledger.push(number),
                None => ledgers.push(vec![number]),
            }
            filled = if fits { filled + keys } else { *keys };
        }
    }
    ledgers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_group_has_one_node_ledger_of_bounded_size(
            groups in prop::collection::vec((0..Reason::ALL.len(), 1_usize..300), 0..60),
            keys_max in 1_u32..500,
        ) {
            let groups: Vec<(Reason, usize)> =
                groups.into_iter().map(|(of, keys)| (Reason::ALL[of], keys)).collect();
            let ledgers = node_ledgers(&groups, keys_max);
            let mut covered: Vec<usize> = ledgers.iter().flatten().copied().collect();
            covered.sort_unstable();
            prop_assert_eq!(covered, (0..groups.len()).collect::<Vec<_>>());
            for ledger in &ledgers {
                let keys: usize = ledger.iter().map(|group| groups[*group].1).sum();
                prop_assert!(ledger.len() == 1 || keys <= keys_max as usize);
                prop_assert!(ledger.is_sorted());
                prop_assert!(ledger.iter().all(|group| groups[*group].0 == groups[ledger[0]].0));
            }
            prop_assert!(node_ledgers(&groups, 0).is_empty());
        }
    }

    #[test]
    fn ledger_names_differ_and_keep_their_slot() {
        let (run, batch) = (RunId::new(), BatchId::new());
        let groups = [(7, Reason::Stale, 60), (8, Reason::Stale, 30), (9, Reason::Stale, 30)];
        let used = UsedLedgers { node_keys: 100, groups: vec![2, 9] };
        let ledgers = used.of(batch, &groups);
        let found: Vec<(LedgerKind, u32, u16)> =
            ledgers.iter().map(|ledger| (ledger.kind, ledger.group, ledger.slot)).collect();
        assert_eq!(found, [(LedgerKind::Node, 0, 7), (LedgerKind::Node, 2, 9), (LedgerKind::Slot, 2, 9)]);
        let names: Vec<Vec<u8>> = ledgers.iter().map(|ledger| ledger.key(run)).collect();
        assert_ne!(names[1], names[2]);
        for (ledger, name) in ledgers.iter().zip(&names) {
            assert_eq!(crate::slot::slot_of(name), ledger.slot);
        }
    }
}
