//! Which scan tasks are handed out next: few per node at a time, node after node, however many scanners there
//! are. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::limits::{TASK_TIMES_MAX, TASKS_PER_NODE};
use keysweep_model::messages::ScanTask;

/// The tasks of a run that have no report yet.
#[derive(Debug)]
pub struct Dispatch {
    /// After which time without its report a task is handed out once more.
    again: Duration,
    /// How many tasks may be handed out at a time, over all nodes.
    at_once_max: usize,
    nodes: BTreeMap<NodeId, NodeQueue>,
    /// The node after which the next round starts.
    turn: Option<NodeId>,
}

#[derive(Debug, Default)]
struct NodeQueue {
    waiting: VecDeque<(Duration, ScanTask)>,
    at_work: BTreeMap<TaskId, InFlightTask>,
}

/// A task that is handed out.
#[derive(Debug)]
struct InFlightTask {
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
            let at_work = InFlightTask { task: task.clone(), since: now, times: 1 };
            let id = at_work.id();
            line.at_work.insert(task.task, at_work);
            self.turn = Some(node);
            return Some((task, id));
        }
        None
    }

    fn release_again(&mut self, now: Duration) -> Option<(ScanTask, String)> {
        let mut at_work = self.nodes.values_mut().flat_map(|line| line.at_work.values_mut());
        let is_due = |at_work: &&mut InFlightTask| {
            at_work.times < TASK_TIMES_MAX && now.saturating_sub(at_work.since) >= self.again
        };
        let lost = at_work.find(is_due)?;
        (lost.since, lost.times) = (now, lost.times + 1);
        Some((lost.task.clone(), lost.id()))
    }

    /// Takes back a task that could not be handed out; it is next again.
    pub fn requeue(&mut self, task: ScanTask, now: Duration) {
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

    /// Takes back the tasks of `node` that are not handed out yet.
    pub fn withdraw(&mut self, node: &NodeId) -> Vec<ScanTask> {
        let waiting = self.nodes.get_mut(node).into_iter().flat_map(|line| line.waiting.drain(..));
        waiting.map(|(_, task)| task).collect()
    }

    /// Takes back all tasks that have no report: nobody may be there to give them one.
    pub fn withdraw_all(&mut self) -> Vec<ScanTask> {
        let lines = self.nodes.values_mut();
        let tasks = lines.flat_map(|line| {
            let at_work = std::mem::take(&mut line.at_work).into_values().map(|at_work| at_work.task);
            at_work.chain(line.waiting.drain(..).map(|(_, task)| task)).collect::<Vec<_>>()
        });
        tasks.collect()
    }

    /// Takes back the tasks that were handed out as often as they may, and still have no report at `now`.
    pub fn withdraw_lost(&mut self, now: Duration) -> Vec<ScanTask> {
        let again = self.again;
        let is_lost = |at_work: &InFlightTask| {
            at_work.times >= TASK_TIMES_MAX && now.saturating_sub(at_work.since) >= again
        };
        let mut lost = Vec::new();
        for line in self.nodes.values_mut() {
            let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
                std::mem::take(&mut line.at_work).into_iter().partition(|(_, at_work)| is_lost(at_work));
            line.at_work = kept;
            lost.extend(gone.into_values().map(|at_work| at_work.task));
        }
        lost
    }
}

impl InFlightTask {
    /// Whoever hands the task out for the same time gives it the same id, so that a queue which still has it
    /// takes it once.
    fn id(&self) -> String {
        format!("{}/{}", self.task.task, self.times)
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::{Alias, RunId};
    use keysweep_model::range::{Scope, SlotListing};
    use keysweep_model::slot::SlotSet;

    use super::*;

    fn task(node: &str) -> ScanTask {
        ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new(node),
            scope: Scope::Slots { slots: SlotSet::new(), listing: SlotListing::KeysInSlot },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
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
        assert_eq!(dispatch.withdraw(&NodeId::new("a")).len(), 1);
        assert_eq!(dispatch.release(Duration::from_secs(5)).unwrap().0.node.as_str(), "b");
        assert_eq!(dispatch.withdraw_all().len(), 1, "what is handed out, too");
        assert!(dispatch.withdraw_all().is_empty());
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
        dispatch.requeue(again, at(61));
        assert_eq!(dispatch.release(at(61)).unwrap().0, only);
        dispatch.reported(only.task);
        assert_eq!(dispatch.release(at(1_000)), None);
    }
    #[test]
    fn a_task_that_nobody_reports_is_given_up() {
        let (again, mut dispatch) =
            (Duration::from_secs(60), Dispatch::new(Duration::from_secs(60), usize::MAX));
        dispatch.add(task("a"), Duration::ZERO);
        let mut now = Duration::ZERO;
        for time in 1..=TASK_TIMES_MAX {
            assert!(dispatch.withdraw_lost(now).is_empty(), "handed out {time} times");
            assert!(dispatch.release(now).is_some());
            now += again;
        }
        assert!(dispatch.release(now).is_none());
        assert_eq!(dispatch.withdraw_lost(now).len(), 1);
        assert!(dispatch.withdraw_lost(now).is_empty());
    }
}
