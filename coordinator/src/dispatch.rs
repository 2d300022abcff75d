//! Which scan tasks are handed out next: few per node at a time, node after node, however many scanners there
//! are. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared::ids::{NodeId, TaskId};
use shared::limits::TASKS_PER_NODE;
use shared::messages::ScanTask;

/// The tasks of a run that have no report yet.
#[derive(Debug, Default)]
pub struct Dispatch {
    nodes: BTreeMap<NodeId, Line>,
    /// The node after which the next round starts.
    turn: Option<NodeId>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<(Duration, ScanTask)>,
    at_work: BTreeSet<TaskId>,
}

impl Dispatch {
    /// Adds a task that may be handed out from `not_before` on (a time since the run's start).
    pub fn add(&mut self, task: ScanTask, not_before: Duration) {
        self.nodes.entry(task.node.clone()).or_default().waiting.push_back((not_before, task));
    }

    /// The next task to hand out at `now`, if a node has room for one.
    pub fn release(&mut self, now: Duration) -> Option<ScanTask> {
        let (before, after): (Vec<_>, Vec<_>) =
            self.nodes.keys().cloned().partition(|node| self.turn.as_ref().is_some_and(|turn| node <= turn));
        for node in after.into_iter().chain(before) {
            let Some(line) = self.nodes.get_mut(&node) else { continue };
            if line.at_work.len() >= TASKS_PER_NODE {
                continue;
            }
            let Some(due) = line.waiting.iter().position(|(not_before, _)| *not_before <= now) else {
                continue;
            };
            let Some((_, task)) = line.waiting.remove(due) else { continue };
            line.at_work.insert(task.task);
            self.turn = Some(node);
            return Some(task);
        }
        None
    }

    /// A task has its report.
    pub fn reported(&mut self, task: TaskId) {
        for line in self.nodes.values_mut() {
            line.at_work.remove(&task);
            line.waiting.retain(|(_, waiting)| waiting.task != task);
        }
    }

    /// Takes back the tasks of `node` that are not handed out yet, or those of all nodes.
    pub fn withdraw(&mut self, node: Option<&NodeId>) -> Vec<ScanTask> {
        let lines = self.nodes.iter_mut().filter(|(name, _)| node.is_none_or(|node| node == *name));
        lines.flat_map(|(_, line)| line.waiting.drain(..).map(|(_, task)| task)).collect()
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{Alias, RunId};
    use shared::range::{Scope, SlotListing};
    use shared::slot::SlotSet;

    use super::*;

    fn task(node: &str) -> ScanTask {
        ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new(node),
            scope: Scope::Slots { slots: SlotSet::new(), listing: SlotListing::KeysInSlot },
            keys: 0,
            replans: 0,
        }
    }

    #[test]
    fn nodes_take_turns_and_none_is_crowded() {
        let mut dispatch = Dispatch::default();
        for node in ["a", "a", "a", "b", "c"] {
            dispatch.add(task(node), Duration::ZERO);
        }
        let mut released = Vec::new();
        while let Some(task) = dispatch.release(Duration::ZERO) {
            released.push(task);
        }
        let nodes: Vec<&str> = released.iter().map(|task| task.node.as_str()).collect();
        assert_eq!(nodes, ["a", "b", "c", "a"], "two at a time for node a");
        dispatch.reported(released[0].task);
        assert_eq!(dispatch.release(Duration::ZERO).unwrap().node.as_str(), "a");
        assert!(dispatch.release(Duration::ZERO).is_none());
    }

    #[test]
    fn tasks_wait_for_their_time_and_can_be_withdrawn() {
        let mut dispatch = Dispatch::default();
        dispatch.add(task("a"), Duration::from_secs(5));
        dispatch.add(task("b"), Duration::from_secs(5));
        assert!(dispatch.release(Duration::from_secs(4)).is_none());
        assert_eq!(dispatch.withdraw(Some(&NodeId::new("a"))).len(), 1);
        assert_eq!(dispatch.release(Duration::from_secs(5)).unwrap().node.as_str(), "b");
        assert!(dispatch.withdraw(None).is_empty());
    }
}
