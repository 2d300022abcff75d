//! Which scan tasks are published next: few per node at a time, node after node, however many scanners there are. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::ScanTask;
use keysweep_pacing::limits::TASKS_PER_NODE;

use crate::limits::TASK_TIMES_MAX;

/// The tasks of a run that have no report yet.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// A task without a report is published again after this time.
    redispatch_after: Duration,
    /// How many tasks may be in flight at a time, over all nodes.
    in_flight_max: usize,
    nodes: BTreeMap<NodeId, NodeQueue>,
    /// The node whose task was published last.
    last: Option<NodeId>,
}

#[derive(Clone, Debug, Default)]
struct NodeQueue {
    waiting: VecDeque<(Duration, ScanTask)>,
    in_flight: BTreeMap<TaskId, InFlightTask>,
}

/// A task that was published and has no report.
#[derive(Clone, Debug)]
struct InFlightTask {
    task: ScanTask,
    /// When it was published last, and how often.
    since: Duration,
    times: u32,
}

impl Dispatch {
    /// Without tasks. A task that has no report after `redispatch_after` is published again, because its message may be
    /// lost.
    #[must_use]
    pub fn new(redispatch_after: Duration, in_flight_max: usize) -> Self {
        Self { redispatch_after, in_flight_max, nodes: BTreeMap::new(), last: None }
    }

    /// Adds a task that may be published from `not_before` on (a time since the run's start).
    pub fn add(&mut self, task: ScanTask, not_before: Duration) {
        self.nodes.entry(task.node.clone()).or_default().waiting.push_back((not_before, task));
    }

    /// The next task to publish at `now`, if a node has room for one, and the id of its message.
    pub fn release(&mut self, now: Duration) -> Option<(ScanTask, String)> {
        if let Some(again) = self.release_again(now) {
            return Some(again);
        }
        if self.nodes.values().map(|queue| queue.in_flight.len()).sum::<usize>() >= self.in_flight_max {
            return None;
        }
        let (before, after): (Vec<_>, Vec<_>) =
            self.nodes.keys().cloned().partition(|node| self.last.as_ref().is_some_and(|last| node <= last));
        for node in after.into_iter().chain(before) {
            let Some(queue) = self.nodes.get_mut(&node) else { continue };
            if queue.in_flight.len() >= TASKS_PER_NODE {
                continue;
            }
            let Some(due) = queue.waiting.iter().position(|(not_before, _)| *not_before <= now) else {
                continue;
            };
            let Some((_, task)) = queue.waiting.remove(due) else { continue };
            let in_flight = InFlightTask { task: task.clone(), since: now, times: 1 };
            let id = in_flight.id();
            queue.in_flight.insert(task.task, in_flight);
            self.last = Some(node);
            return Some((task, id));
        }
        None
    }

    fn release_again(&mut self, now: Duration) -> Option<(ScanTask, String)> {
        let mut in_flight = self.nodes.values_mut().flat_map(|queue| queue.in_flight.values_mut());
        let is_due = |in_flight: &&mut InFlightTask| {
            in_flight.times < TASK_TIMES_MAX && now.saturating_sub(in_flight.since) >= self.redispatch_after
        };
        let lost = in_flight.find(is_due)?;
        (lost.since, lost.times) = (now, lost.times + 1);
        Some((lost.task.clone(), lost.id()))
    }

    /// Takes back a task that could not be published; it is next again.
    pub fn requeue(&mut self, task: ScanTask, now: Duration) {
        let queue = self.nodes.entry(task.node.clone()).or_default();
        queue.in_flight.remove(&task.task);
        queue.waiting.push_front((now, task));
    }

    /// The tasks that are published and have no report.
    pub fn in_flight(&self) -> impl Iterator<Item = &ScanTask> {
        self.nodes.values().flat_map(|queue| queue.in_flight.values().map(|in_flight| &in_flight.task))
    }

    /// The tasks that are not published yet.
    pub fn waiting(&self) -> impl Iterator<Item = &ScanTask> {
        self.nodes.values().flat_map(|queue| queue.waiting.iter().map(|(_, task)| task))
    }

    /// Removes a task that has its report.
    pub fn reported(&mut self, task: TaskId) {
        for queue in self.nodes.values_mut() {
            queue.in_flight.remove(&task);
            queue.waiting.retain(|(_, waiting)| waiting.task != task);
        }
    }

    /// Takes back the tasks of `node` that are not published yet.
    pub fn withdraw(&mut self, node: &NodeId) -> Vec<ScanTask> {
        let waiting = self.nodes.get_mut(node).into_iter().flat_map(|queue| queue.waiting.drain(..));
        waiting.map(|(_, task)| task).collect()
    }

    /// Takes back all tasks that have no report: there may be no scanner to store one.
    pub fn withdraw_all(&mut self) -> Vec<ScanTask> {
        let queues = self.nodes.values_mut();
        let tasks = queues.flat_map(|queue| {
            let in_flight =
                std::mem::take(&mut queue.in_flight).into_values().map(|in_flight| in_flight.task);
            in_flight.chain(queue.waiting.drain(..).map(|(_, task)| task)).collect::<Vec<_>>()
        });
        tasks.collect()
    }

    /// Takes back the tasks that were published as often as they may, and still have no report at `now`.
    pub fn withdraw_lost(&mut self, now: Duration) -> Vec<ScanTask> {
        let redispatch_after = self.redispatch_after;
        let is_lost = |in_flight: &InFlightTask| {
            in_flight.times >= TASK_TIMES_MAX && now.saturating_sub(in_flight.since) >= redispatch_after
        };
        let mut lost = Vec::new();
        for queue in self.nodes.values_mut() {
            let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut queue.in_flight)
                .into_iter()
                .partition(|(_, in_flight)| is_lost(in_flight));
            queue.in_flight = kept;
            lost.extend(gone.into_values().map(|in_flight| in_flight.task));
        }
        lost
    }
}

impl InFlightTask {
    /// Each leader that publishes the task for the same time gives the message the same id, so that the queue accepts
    /// it once.
    fn id(&self) -> String {
        format!("{}/{}", self.task.task, self.times)
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::{Alias, RunId};
    use keysweep_model::range::Scope;
    use keysweep_model::slot::SlotSet;

    use super::*;

    fn task(node: &str) -> ScanTask {
        ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new(node),
            scope: Scope::Slots { slots: SlotSet::new() },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        }
    }

    #[test]
    fn nodes_take_turns_within_their_limit() {
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
    fn tasks_in_flight_are_limited_over_all_nodes() {
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
        assert_eq!(dispatch.withdraw_all().len(), 1, "published tasks as well");
        assert!(dispatch.withdraw_all().is_empty());
    }

    #[test]
    fn a_task_whose_message_is_lost_is_published_again() {
        let at = Duration::from_secs;
        let mut dispatch = Dispatch::new(at(60), usize::MAX);
        let only = task("a");
        dispatch.add(only.clone(), at(0));
        let (_, first) = dispatch.release(at(1)).unwrap();
        assert_eq!(dispatch.release(at(60)), None);
        let (again, second) = dispatch.release(at(61)).unwrap();
        assert_eq!(again, only);
        assert_ne!(first, second, "otherwise the queue drops it as a duplicate");
        dispatch.requeue(again, at(61));
        assert_eq!(dispatch.release(at(61)).unwrap().0, only);
        dispatch.reported(only.task);
        assert_eq!(dispatch.release(at(1_000)), None);
    }

    #[test]
    fn a_task_without_a_report_is_given_up() {
        let (again, mut dispatch) =
            (Duration::from_secs(60), Dispatch::new(Duration::from_secs(60), usize::MAX));
        dispatch.add(task("a"), Duration::ZERO);
        let mut now = Duration::ZERO;
        for time in 1..=TASK_TIMES_MAX {
            assert!(dispatch.withdraw_lost(now).is_empty(), "published {time} times");
            assert!(dispatch.release(now).is_some());
            now += again;
        }
        assert!(dispatch.release(now).is_none());
        assert_eq!(dispatch.withdraw_lost(now).len(), 1);
        assert!(dispatch.withdraw_lost(now).is_empty());
    }
}
