//! The plan: scan tasks from the nodes' numbers of keys, and follow-up tasks from the remainder of a task. Every
//! requested slot or position is in exactly one task. Pure.

use keysweep_model::ids::{Alias, NodeId, RunId};
use keysweep_model::messages::ScanTask;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, Scope};
use keysweep_model::slot::SlotSet;
use scanner::limits::{LANES_MAX, SLOT_KEYS_MAX};

use crate::limits::{KEYS_PER_PART_MIN, TASK_KEYS, TASK_KEYS_MIN, TASKS_OF_TABLES_MAX};
use crate::task_ids::TaskIds;

/// How large tasks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSizes {
    /// Minimum keys per task.
    pub keys_min: u64,
    /// Keys per task in a large deployment.
    pub keys: u64,
    /// A hash table is split into at most one part per this many keys.
    pub part_keys_min: u64,
}

impl Default for TaskSizes {
    fn default() -> Self {
        Self { keys_min: TASK_KEYS_MIN, keys: TASK_KEYS, part_keys_min: KEYS_PER_PART_MIN }
    }
}

/// Minimum tasks per node, so that progress is visible.
const TASKS_PER_NODE_MIN: u64 = 4;

impl TaskSizes {
    /// The keys of one task, of which about `wanted` are wanted.
    fn task_keys(self, wanted: u64) -> u64 {
        wanted.clamp(self.keys_min, self.keys)
    }
}

/// What planning needs about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKeys {
    /// The node.
    pub node: NodeId,
    /// Keys in its database.
    pub keys: u64,
    /// Its process (`run_id` of INFO).
    pub process: String,
    /// Whether it keeps one hash table per slot if it is in cluster mode.
    pub slot_tables: bool,
    /// Whether its database is read in one lane, because its cursors are not positions in a hash table.
    pub one_lane: bool,
    /// Its slots with their numbers of keys, in order; empty on a standalone server.
    pub slots: Vec<(u16, u64)>,
}

/// Creates the tasks of one run.
#[derive(Clone, Debug)]
pub struct Planner {
    /// The run.
    pub run: RunId,
    /// The deployment.
    pub alias: Alias,
    /// How often the range of the task was rescheduled before.
    pub reschedules: u32,
    /// The generation of the scan; see [`ScanTask::scan_generation`].
    pub scan_generation: u32,
    /// How large its tasks are.
    pub sizes: TaskSizes,
    /// The ids of new tasks and passes.
    pub ids: TaskIds,
}

impl Planner {
    /// A planner of first tasks.
    #[must_use]
    pub fn new(run: RunId, alias: Alias, ids: TaskIds) -> Self {
        Self { run, alias, reschedules: 0, scan_generation: 0, sizes: TaskSizes::default(), ids }
    }

    /// The tasks that read all keys of a standalone server.
    #[must_use]
    pub fn database(&mut self, node: &NodeKeys) -> Vec<ScanTask> {
        self.pass(node, ScanTable::Database, node.keys, None, TASKS_OF_TABLES_MAX)
    }

    /// The tasks that read all keys in the slots of `node.slots`. Slots in `giant` are read in ranges, as are those
    /// with too many keys.
    #[must_use]
    pub fn slots(&mut self, node: &NodeKeys, giant: &SlotSet) -> Vec<ScanTask> {
        let is_giant = |slot: u16, keys: u64| keys > SLOT_KEYS_MAX || giant.contains(slot);
        let (giants, plain): (Vec<_>, Vec<_>) =
            node.slots.iter().partition(|(slot, keys)| is_giant(*slot, *keys));
        let mut tasks = self.plain_slots(node, &plain);
        if giants.is_empty() {
            return tasks;
        }
        if node.slot_tables {
            let tasks_max = TASKS_OF_TABLES_MAX / giants.len() as u64;
            for (slot, keys) in giants {
                let only: SlotSet = std::iter::once(slot).collect();
                tasks.extend(self.pass(node, ScanTable::Slot(slot), keys, Some(&only), tasks_max));
            }
        } else {
            // One table for all slots: one pass over it for all giant slots.
            let slots: SlotSet = giants.iter().map(|(slot, _)| *slot).collect();
            tasks.extend(self.pass(node, ScanTable::Database, node.keys, Some(&slots), TASKS_OF_TABLES_MAX));
        }
        tasks
    }

    /// One task.
    #[must_use]
    pub fn task(&mut self, node: &NodeId, scope: Scope, keys: u64) -> ScanTask {
        ScanTask {
            run: self.run,
            task: self.ids.take(),
            alias: self.alias.clone(),
            node: node.clone(),
            scope,
            keys,
            reschedules: self.reschedules,
            skip: false,
            scan_generation: self.scan_generation,
        }
    }

    /// The one task of a node without stale keys. `slots` are its slots, empty on a standalone server.
    #[must_use]
    pub fn skipped(&mut self, node: &NodeKeys, slots: &SlotSet) -> ScanTask {
        let scope = if slots.is_empty() {
            Scope::Cursors(CursorScope {
                pass: self.ids.take(),
                table: ScanTable::Database,
                ranges: vec![CursorRange::WHOLE],
                bits: 0,
                slots: None,
                process: node.process.clone(),
            })
        } else {
            Scope::Slots { slots: slots.clone() }
        };
        ScanTask { skip: true, ..self.task(&node.node, scope, node.keys) }
    }

    fn plain_slots(&mut self, node: &NodeKeys, slots: &[(u16, u64)]) -> Vec<ScanTask> {
        let all: u64 = slots.iter().map(|(_, keys)| keys).sum();
        // Whole slots rarely fill a task exactly: without one more slot, the rest would be one more task.
        let slot_keys = all / (slots.len() as u64).max(1);
        let task_keys = self.sizes.task_keys(all.div_ceil(TASKS_PER_NODE_MIN) + slot_keys);
        let mut tasks = Vec::new();
        let (mut here, mut keys_here) = (Vec::new(), 0);
        for (slot, keys) in slots {
            if keys_here > 0 && keys_here + keys > task_keys {
                tasks.push(self.slot_task(node, &mut here, &mut keys_here));
            }
            here.push(*slot);
            keys_here += keys;
        }
        if !here.is_empty() {
            tasks.push(self.slot_task(node, &mut here, &mut keys_here));
        }
        tasks
    }

    fn slot_task(&mut self, node: &NodeKeys, slots: &mut Vec<u16>, keys: &mut u64) -> ScanTask {
        let scope = Scope::Slots { slots: slots.drain(..).collect() };
        self.task(&node.node, scope, std::mem::take(keys))
    }

    /// The tasks of one pass over `table`, in which `keys` keys are expected, `tasks_max` at most.
    fn pass(
        &mut self,
        node: &NodeKeys,
        table: ScanTable,
        keys: u64,
        slots: Option<&SlotSet>,
        tasks_max: u64,
    ) -> Vec<ScanTask> {
        let opaque = node.one_lane && table == ScanTable::Database;
        let table = if opaque { ScanTable::Opaque { at: 0 } } else { table };
        let (bits, tasks) = if opaque { (0, 1) } else { cut(keys, tasks_max, self.sizes) };
        let (pass, parts) = (self.ids.take(), 1_u64 << bits);
        let per_task = parts / tasks;
        let scope = |first: u64| CursorScope {
            pass,
            table,
            ranges: (first..first + per_task).map(|part| CursorRange::part(part, bits)).collect(),
            bits,
            slots: slots.cloned(),
            process: node.process.clone(),
        };
        let starts = (0..tasks).map(|n| n * per_task);
        starts.map(|first| self.task(&node.node, Scope::Cursors(scope(first)), keys / tasks)).collect()
    }
}

/// Into how many parts (a power of two) a table is cut, and how many tasks share them. There are far fewer parts than
/// buckets, as exact ranges require.
fn cut(keys: u64, tasks_max: u64, sizes: TaskSizes) -> (u32, u64) {
    let task_keys = sizes.task_keys(keys.div_ceil(TASKS_PER_NODE_MIN));
    let most = 1 << tasks_max.max(1).ilog2();
    let tasks = keys.div_ceil(task_keys).max(1).next_power_of_two().min(most);
    let wanted = (tasks * u64::from(LANES_MAX)).ilog2();
    let bits = (keys / sizes.part_keys_min).max(1).ilog2().min(wanted);
    (bits, tasks.min(1 << bits))
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::TaskId;
    use proptest::prelude::*;

    use super::*;

    fn planner() -> Planner {
        Planner::new(RunId::new(), Alias::new("main"), TaskIds::random())
    }

    fn node(slots: Vec<(u16, u64)>, slot_tables: bool) -> NodeKeys {
        let keys = slots.iter().map(|(_, keys)| keys).sum();
        NodeKeys {
            node: NodeId::new("n"),
            keys,
            process: "p".to_owned(),
            slot_tables,
            one_lane: false,
            slots,
        }
    }

    /// Whether the ranges of `tasks`, all of one pass, cover every position once.
    fn whole(tasks: &[&CursorScope]) -> bool {
        let mut ranges: Vec<CursorRange> = tasks.iter().flat_map(|scope| scope.ranges.clone()).collect();
        ranges.sort_unstable();
        ranges[0].from == 0
            && ranges[ranges.len() - 1].to.is_none()
            && ranges.windows(2).all(|pair| pair[0].to == Some(pair[1].from))
    }

    proptest! {
        #[test]
        fn every_slot_is_in_one_task(
            counts in prop::collection::btree_map(0_u16..16_384, prop_oneof![0_u64..200, 9_990_u64..30_000], 0..300),
            slot_tables: bool,
            forced in prop::collection::vec(0_u16..16_384, 0..3),
        ) {
            let node = node(counts.clone().into_iter().collect(), slot_tables);
            let forced: SlotSet = forced.into_iter().collect();
            let tasks = planner().slots(&node, &forced);
            let mut seen = SlotSet::new();
            let mut passes = std::collections::BTreeMap::<TaskId, Vec<&CursorScope>>::new();
            for task in &tasks {
                match &task.scope {
                    Scope::Slots { slots, .. } => {
                        prop_assert!(seen.intersection(slots).is_empty());
                        seen.extend(slots);
                    }
                    Scope::Cursors(scope) => passes.entry(scope.pass).or_default().push(scope),
                }
            }
            for scopes in passes.values() {
                prop_assert!(whole(scopes));
                let slots = scopes[0].slots.clone().unwrap();
                prop_assert!(seen.intersection(&slots).is_empty());
                seen.extend(&slots);
            }
            prop_assert_eq!(seen, counts.keys().copied().collect::<SlotSet>());
            if !slot_tables {
                prop_assert!(passes.len() <= 1, "one pass for all giant slots");
            }
        }

        #[test]
        fn a_database_is_cut_into_parts_that_are_larger_than_buckets(keys in 0_u64..1 << 40) {
            let (bits, tasks) = cut(keys, TASKS_OF_TABLES_MAX, TaskSizes::default());
            prop_assert!(tasks <= TASKS_OF_TABLES_MAX);
            prop_assert!(bits == 0 || (1_u64 << bits) * KEYS_PER_PART_MIN <= keys);
            prop_assert_eq!((1_u64 << bits) % tasks, 0);
            if bits < 12 {
                let mut node = node(Vec::new(), false);
                node.keys = keys;
                let tasks = planner().database(&node);
                let scopes: Vec<&CursorScope> = tasks
                    .iter()
                    .map(|task| if let Scope::Cursors(scope) = &task.scope { scope } else { unreachable!() })
                    .collect();
                prop_assert!(whole(&scopes));
            }
        }
    }

    #[test]
    fn tasks_stay_short() {
        let slots = (0..16_384).map(|slot| (slot, 600)).collect();
        let tasks = planner().slots(&node(slots, false), &SlotSet::new());
        assert!(tasks.iter().all(|task| task.keys <= TASK_KEYS));
        assert_eq!(tasks.iter().map(|task| task.keys).sum::<u64>(), 16_384 * 600);
    }

    #[test]
    fn any_number_of_keys_gives_a_bounded_number_of_tasks() {
        let slots: Vec<(u16, u64)> = (0..16_384).map(|slot| (slot, 1 << 40)).collect();
        for slot_tables in [true, false] {
            let tasks = planner().slots(&node(slots.clone(), slot_tables), &SlotSet::new());
            assert!(tasks.len() as u64 <= TASKS_OF_TABLES_MAX, "{}", tasks.len());
        }
        let huge = NodeKeys { keys: 1 << 49, ..node(Vec::new(), false) };
        assert_eq!(planner().database(&huge).len() as u64, TASKS_OF_TABLES_MAX);
    }

    #[test]
    fn a_node_of_few_keys_gets_four_tasks_of_similar_size() {
        for keys_per_slot in [10, 61, 70] {
            let slots = (0..5_461).map(|slot| (slot, keys_per_slot)).collect();
            let tasks = planner().slots(&node(slots, false), &SlotSet::new());
            assert_eq!(tasks.len() as u64, TASKS_PER_NODE_MIN, "{keys_per_slot}");
        }
        for keys in [40_000, 100_001, 399_999] {
            assert_eq!(cut(keys, TASKS_OF_TABLES_MAX, TaskSizes::default()).1, TASKS_PER_NODE_MIN, "{keys}");
        }
    }
}
