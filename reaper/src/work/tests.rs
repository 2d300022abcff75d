//! Each ledger records the same candidates, however a batch is routed and paced.

use keysweep_model::ids::{Alias, BatchId, RunId, TaskId};
use proptest::prelude::*;

use super::*;

/// A batch of `groups`.
pub(crate) fn batch_of(groups: Vec<Group>, ledger_keys: u32) -> ReapBatch {
    ReapBatch {
        run: RunId::new(),
        batch: BatchId::new(),
        task: TaskId::new(),
        alias: Alias::new("main"),
        node: NodeId::new("n"),
        not_before_ms: 0,
        not_after_ms: 1,
        groups,
        scan_generation: 0,
        ledger_keys,
        rule: None,
    }
}

/// A batch whose groups have these slots, reasons and numbers of keys.
fn batch(groups: &[(u16, bool, usize)], ledger_keys: u32) -> ReapBatch {
    let group = |(number, (slot, inactive, keys)): (usize, &(u16, bool, usize))| Group {
        slot: *slot,
        reason: if *inactive { Reason::Inactive } else { Reason::Stale },
        keys: (0..*keys).map(|n| Key::new(format!("{number}:{n}"))).collect(),
        expires_at_ms: Vec::new(),
        fingerprints: Vec::new(),
    };
    batch_of(groups.iter().enumerate().map(group).collect(), ledger_keys)
}

fn arbitrary_groups() -> impl Strategy<Value = Vec<(u16, bool, usize)>> {
    prop::collection::vec((0_u16..8, any::<bool>(), 1_usize..40), 1..30)
}

/// Three nodes, of which each serves every third slot.
fn nodes() -> [NodeId; 3] {
    [0, 1, 2].map(|n| NodeId::new(format!("node-{n}")))
}

/// What a ledger records at each of its positions.
type Recorded = BTreeMap<(bool, u32), Vec<PlaceId>>;

/// Notes the candidates of `work` at their positions in the ledgers; none may be noted twice.
fn note(recorded: &mut Recorded, work: &Work<'_>) {
    let name = (work.ledger.kind == LedgerKind::Node, work.ledger.group);
    let ledger = recorded.entry(name).or_default();
    assert_eq!(ledger.len(), work.before, "in order, without a gap");
    ledger.extend(work.places.iter().map(Place::id));
    assert!(ledger.len() <= work.recorded);
}

proptest! {
    /// However a batch is routed and paced, each ledger records the same candidates at the same positions.
    #[test]
    fn position_in_a_ledger_depends_on_the_batch_alone(
        groups in arbitrary_groups(),
        ledger_keys in 1_u32..100,
        keys in prop::option::of(1_u64..20),
        call_value_bytes in 1_u64..500,
    ) {
        let batch = batch(&groups, ledger_keys);
        let mut expected = Recorded::new();
        for work in node_work(&batch) {
            note(&mut expected, &work);
        }
        let covered: BTreeSet<PlaceId> = expected.values().flatten().copied().collect();
        prop_assert_eq!(covered.len() as u64, batch.keys());
        let mut found = Recorded::new();
        let nodes = nodes();
        let node = |slot: u16| &nodes[usize::from(slot % 3)];
        for (at, work) in by_node(node_work(&batch), |slot| Some(node(slot))).nodes {
            let mut left: VecDeque<Work<'_>> = work.into();
            while !left.is_empty() {
                let limits = WriteLimits { keys, call_value_bytes };
                let write = next_write(&mut left, limits, |place| place.index as u64 * 10);
                prop_assert!(!write.is_empty() && write.len() <= CALLS_MAX);
                let here = || write.iter().filter(|call| call.here);
                let sent: u64 = here().map(|call| call.places.len() as u64).sum();
                prop_assert!(sent <= keys.unwrap_or(u64::MAX));
                for call in here() {
                    let values = call.places.iter().map(|place| place.index as u64 * 10);
                    let values: Vec<u64> = values.filter(|bytes| *bytes > 0).collect();
                    prop_assert!(values.len() <= 1 || values.iter().sum::<u64>() <= call_value_bytes);
                    prop_assert!(call.places.iter().all(|place| *node(place.of.slot) == at));
                }
                let elsewhere = write.iter().filter(|call| !call.here).flat_map(|call| &call.places);
                for place in elsewhere {
                    prop_assert!(*node(place.of.slot) != at);
                }
                for call in &write {
                    note(&mut found, call);
                }
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn candidates_left_to_their_slots_keep_their_position(
        groups in arbitrary_groups(),
        seed in any::<u64>(),
    ) {
        let batch = batch(&groups, 0);
        prop_assert!(node_work(&batch).is_empty());
        let mut rng = fastrand::Rng::with_seed(seed);
        let wanted: BTreeSet<PlaceId> =
            without_node_ledger(&batch).into_iter().filter(|_| rng.bool()).collect();
        let mut found = BTreeSet::new();
        for work in slot_work(&batch, &wanted) {
            prop_assert_eq!(work.recorded, batch.groups[work.ledger.group as usize].keys.len());
            for (offset, place) in work.places.iter().enumerate() {
                prop_assert_eq!(place.id(), (work.ledger.group as usize, work.before + offset));
                prop_assert!(found.insert(place.id()));
            }
        }
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_ledger_without_an_owner_is_not_routed() {
    let batch = batch(&[(0, false, 2), (1, false, 2), (2, false, 2)], 2);
    let nodes = nodes();
    let node = |slot: u16| (slot != 1).then(|| &nodes[usize::from(slot)]);
    let routes = by_node(node_work(&batch), node);
    assert_eq!(routes.unserved, Some(1));
    let routed: usize = routes.nodes.values().flatten().map(|work| work.places.len()).sum();
    assert_eq!(routed, 4);
}
