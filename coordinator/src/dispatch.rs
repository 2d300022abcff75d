//! Which scan tasks are handed out next: few per node at a time, node after node, however many scanners there
//! are. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shared::ids::{NodeId, TaskId};
use shared::limits::TASKS_PER_NODE;
use shared::messages::ScanTask;

/// The tasks of a run that have no report yet.
#[derive(Debug)]
pub struct Dispatch {
    /// After which time without its report a task is handed out once more.
    again: Duration,
    /// How many tasks may be handed out at a time, over all nodes.
    at_once_max: usize,
    nodes: BTreeMap<NodeId, Line>,
    /// The node after which the next round starts.
    turn: Option<NodeId>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<(Duration, ScanTask)>,
    at_work: BTreeMap<TaskId, AtWork>,
}

/// A task that is handed out.
#[derive(Debug)]
struct AtWork {
    task: ScanTask,
    /// When it was handed out last, and how often.
    since: Duration,
    times: u32,
}

impl Dispatch {
    /// Without tasks. A task that has no report after `again` is handed out once more, because its message may
    /// be lost.
    #[must_use]
    pub fn new(again: Duration, at_once_max: usize) -> Self {
        Self { again, at_once_max, nodes: BTreeMap::new(), turn: None }
    }

    /// Adds a task that may be handed out from `not_before` on (a time since the run's start).
    pub fn add(&mut self, task: ScanTask, not_before: Duration) {
        self.nodes.entry(task.node.clone()).or_default().waiting.push_back((not_before, task));
    }

    /// The next task to hand out at `now`, if a node has room for one, and the id of its message.
    pub fn release(&mut self, now: Duration) -> Option<(ScanTask, String)> {
        if let Some(again) = self.release_again(now) {
            return Some(again);
        }
        if self.nodes.values().map(|line| line.at_work.len()).sum::<usize>() >= self.at_once_max {
            return None;
        }
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
            let at_work = AtWork { task: task.clone(), since: now, times: 1 };
            let id = at_work.id();
            line.at_work.insert(task.task, at_work);
            self.turn = Some(node);
            return Some((task, id));
        }
        None
    }

    fn release_again(&mut self, now: Duration) -> Option<(ScanTask, String)> {
        let mut at_work = self.nodes.values_mut().flat_map(|line| line.at_work.values_mut());
        let lost = at_work.find(|at_work| now.saturating_sub(at_work.since) >= self.again)?;
        (lost.since, lost.times) = (now, lost.times + 1);
        Some((lost.task.clone(), lost.id()))
    }

    /// Takes back a task that could not be handed out; it is next again.
    pub fn put_back(&mut self, task: ScanTask, now: Duration) {
        let line = self.nodes.entry(task.node.clone()).or_default();
        line.at_work.remove(&task.task);
        line.waiting.push_front((now, task));
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

impl AtWork {
    /// Whoever hands the task out for the same time gives it the same id, so that a queue which still has it
    /// takes it once.
    fn id(&self) -> String {
        format!("{}/{}", self.task.task, self.times)
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
        let mut dispatch = Dispatch::new(Duration::MAX, usize::MAX);
        for node in ["a", "a", "a", "b", "c"] {
            dispatch.add(task(node), Duration::ZERO);
        }
        let mut released = Vec::new();
        while let Some((task, _)) = dispatch.release(Duration::ZERO) {
            released.push(task);
        }
        let nodes: Vec<&str> = released.iter().map(|task| task.node.as_str()).collect();
        assert_eq!(nodes, ["a", "b", "c", "a"], "two at a time for node a");
        dispatch.reported(released[0].task);
        assert_eq!(dispatch.release(Duration::ZERO).unwrap().0.node.as_str(), "a");
        assert!(dispatch.release(Duration::ZERO).is_none());
    }

    #[test]
    fn no_more_tasks_are_out_than_the_queue_can_bear() {
        let mut dispatch = Dispatch::new(Duration::MAX, 2);
        for node in ["a", "b", "c"] {
            dispatch.add(task(node), Duration::ZERO);
        }
        let first = dispatch.release(Duration::ZERO).unwrap().0;
        dispatch.release(Duration::ZERO).unwrap();
        assert_eq!(dispatch.release(Duration::ZERO), None);
        dispatch.reported(first.task);
        assert!(dispatch.release(Duration::ZERO).is_some());
    }

    #[test]
    fn tasks_wait_for_their_time_and_can_be_withdrawn() {
        let mut dispatch = Dispatch::new(Duration::MAX, usize::MAX);
        dispatch.add(task("a"), Duration::from_secs(5));
        dispatch.add(task("b"), Duration::from_secs(5));
        assert!(dispatch.release(Duration::from_secs(4)).is_none());
        assert_eq!(dispatch.withdraw(Some(&NodeId::new("a"))).len(), 1);
        assert_eq!(dispatch.release(Duration::from_secs(5)).unwrap().0.node.as_str(), "b");
        assert!(dispatch.withdraw(None).is_empty());
    }
    #[test]
    fn a_task_whose_message_is_lost_is_handed_out_again() {
        let at = Duration::from_secs;
        let mut dispatch = Dispatch::new(at(60), usize::MAX);
        let only = task("a");
        dispatch.add(only.clone(), at(0));
        let (_, first) = dispatch.release(at(1)).unwrap();
        assert_eq!(dispatch.release(at(60)), None);
        let (again, second) = dispatch.release(at(61)).unwrap();
        assert_eq!(again, only);
        assert_ne!(first, second, "else the queue would take it for the one that is lost");
        dispatch.put_back(again, at(61));
        assert_eq!(dispatch.release(at(61)).unwrap().0, only);
        dispatch.reported(only.task);
        assert_eq!(dispatch.release(at(1_000)), None);
    }
}
