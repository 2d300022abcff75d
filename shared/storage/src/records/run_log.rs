//! The decisions of the leader of a run, in one order. Entry `n` is created once: a coordinator that lost its lease
//! finds its next entry taken and stops. The entries in order are the state of the run. A decision that a coordinator
//! left incomplete is decided again by its successor.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::{ScanTask, TaskFailure};
use serde::{Deserialize, Serialize};

use crate::limits::LIST_TASKS_MAX;

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// A coordinator becomes the leader of the run. Task lists that are incomplete are void.
    LeaderElected {
        /// The number of leaders so far, including this one: the fencing epoch.
        epoch: u64,
        /// The process, for people.
        who: String,
    },
    /// A part of a list of tasks, because a long list does not fit one record.
    Tasks {
        /// The task whose remainder they cover; `None` for the tasks of the plan.
        after: Option<TaskId>,
        /// Which part of the list this is.
        part: u32,
        /// How many parts the list has; at least one.
        parts: u32,
        /// The tasks of this part.
        tasks: Vec<ScanTask>,
    },
    /// These tasks will not be read, for this reason.
    Abandon {
        /// The tasks and their nodes.
        tasks: Vec<(TaskId, NodeId)>,
        /// Why.
        loss: TaskFailure,
    },
    /// A failover check: whether the writes of the run still exist. Slots whose writes may be lost are scanned again:
    /// the list of their tasks follows `id`.
    Check {
        /// Identifies the list.
        id: TaskId,
        /// The scan generation of those tasks: 1 for those of the first check.
        scan_generation: u32,
        /// Replication ids, by node, that are gone, or of which it is not known.
        gone: Vec<(NodeId, String)>,
        /// Those of `gone` whose node did not answer; absent from versions that did not distinguish them.
        #[serde(default)]
        unknown: Vec<(NodeId, String)>,
        /// Replication ids, by node, that all replicas have.
        safe: Vec<(NodeId, String)>,
    },
}

impl Decision {
    /// Splits a list of tasks into its parts; at least one.
    #[must_use]
    pub fn list(after: Option<TaskId>, tasks: &[ScanTask]) -> Vec<Self> {
        // Every slot is in one task, so a part is small however scattered the slots are.
        let mut chunks: Vec<&[ScanTask]> = tasks.chunks(LIST_TASKS_MAX).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let numbered = (0..).zip(chunks);
        numbered.map(|(part, tasks)| Self::Tasks { after, part, parts, tasks: tasks.to_vec() }).collect()
    }

    /// The decisions that abandon `tasks`.
    #[must_use]
    pub fn abandon(tasks: &[ScanTask], loss: &TaskFailure) -> Vec<Self> {
        let named = |tasks: &[ScanTask]| tasks.iter().map(|task| (task.task, task.node.clone())).collect();
        tasks
            .chunks(LIST_TASKS_MAX)
            .map(|some| Self::Abandon { tasks: named(some), loss: loss.clone() })
            .collect()
    }
}

/// The lists of tasks, assembled from their parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskLists {
    partial: BTreeMap<Option<TaskId>, BTreeMap<u32, Vec<ScanTask>>>,
    complete: BTreeSet<Option<TaskId>>,
}

impl TaskLists {
    /// Applies a decision. Returns the tasks of the list that it completes, and the task that the list follows.
    pub fn apply(&mut self, decision: &Decision) -> Option<(Option<TaskId>, Vec<ScanTask>)> {
        match decision {
            Decision::LeaderElected { .. } => self.partial.clear(),
            Decision::Tasks { after, .. } if self.complete.contains(after) => {}
            Decision::Tasks { after, part, parts, tasks } => {
                let list = self.partial.entry(*after).or_default();
                list.insert(*part, tasks.clone());
                if list.len() as u64 == u64::from(*parts) {
                    self.complete.insert(*after);
                    let list = self.partial.remove(after).unwrap_or_default();
                    return Some((*after, list.into_values().flatten().collect()));
                }
            }
            Decision::Abandon { .. } | Decision::Check { .. } => {}
        }
        None
    }

    /// Whether the list that follows `after` is complete.
    #[must_use]
    pub fn has(&self, after: Option<TaskId>) -> bool {
        self.complete.contains(&after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keysweep_model::ids::{Alias, RunId};
    use keysweep_model::range::Scope;
    use keysweep_model::slot::SlotSet;

    fn tasks(count: usize) -> Vec<ScanTask> {
        let task = || ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new("n"),
            scope: Scope::Slots { slots: SlotSet::new() },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        };
        (0..count).map(|_| task()).collect()
    }

    #[test]
    fn a_list_is_complete_with_its_last_part() {
        let all = tasks(LIST_TASKS_MAX + 1);
        let parts = Decision::list(None, &all);
        let mut lists = TaskLists::default();
        assert_eq!(lists.apply(&parts[1]), None);
        assert!(!lists.has(None));
        assert_eq!(lists.apply(&parts[0]), Some((None, all)));
        assert!(lists.has(None));
        assert_eq!(lists.apply(&parts[0]), None, "the first complete list stays");
    }

    #[test]
    fn an_empty_list_is_complete() {
        let parts = Decision::list(None, &[]);
        assert_eq!(TaskLists::default().apply(&parts[0]), Some((None, Vec::new())));
    }

    #[test]
    fn a_new_leader_decides_incomplete_lists_again() {
        let (old, new) = (tasks(LIST_TASKS_MAX + 1), tasks(1));
        let mut lists = TaskLists::default();
        lists.apply(&Decision::list(None, &old)[0]);
        lists.apply(&Decision::LeaderElected { epoch: 2, who: "b".to_owned() });
        assert_eq!(lists.apply(&Decision::list(None, &new)[0]), Some((None, new)));
        assert_eq!(lists.apply(&Decision::list(None, &old)[1]), None, "lists are not mixed");
    }
}
