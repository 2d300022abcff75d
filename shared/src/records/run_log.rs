//! The decisions of whoever drives a run, in one order: entry `n` is created once, so that a coordinator which
//! lost its lease finds its next place taken and is out. Whoever reads the entries in order knows what was
//! decided; what a coordinator left unfinished, its successor decides anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, TaskId};
use crate::limits::LIST_TASKS_MAX;
use crate::messages::{ScanTask, TaskFailure};

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// A coordinator begins to drive the run. What was decided in parts before, and not completed, is void.
    LeaderElected {
        /// How many coordinators there have been, this one included: the fencing epoch.
        epoch: u64,
        /// Who, for people.
        who: String,
    },
    /// A part of a list of tasks: long lists do not fit one record.
    Tasks {
        /// The task whose rest they read; the tasks of the plan follow none.
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
        /// The tasks, with the nodes that they were for.
        tasks: Vec<(TaskId, NodeId)>,
        /// Why.
        loss: TaskFailure,
    },
    /// The driver has asked whether what was done still holds. The slots of what does not are read again: the list
    /// of their tasks follows `id`.
    Check {
        /// Names the list.
        id: TaskId,
        /// The round of those tasks: 1 for those of the first check.
        round: u32,
        /// Histories, by node, that are no more, or of which it is not known.
        gone: Vec<(NodeId, String)>,
        /// Those of `gone` whose node did not say; absent from versions that did not keep them apart.
        #[serde(default)]
        unknown: Vec<(NodeId, String)>,
        /// Histories, by node, that all replicas have.
        safe: Vec<(NodeId, String)>,
    },
}

impl Decision {
    /// The parts of a list of tasks; at least one.
    #[must_use]
    pub fn list(after: Option<TaskId>, tasks: &[ScanTask]) -> Vec<Self> {
        // Every slot is in one task, so that a part is small however scattered the slots are.
        let mut chunks: Vec<&[ScanTask]> = tasks.chunks(LIST_TASKS_MAX).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let numbered = (0..).zip(chunks);
        numbered.map(|(part, tasks)| Self::Tasks { after, part, parts, tasks: tasks.to_vec() }).collect()
    }

    /// The decisions that give up `tasks`.
    #[must_use]
    pub fn abandon(tasks: &[ScanTask], loss: &TaskFailure) -> Vec<Self> {
        let named = |tasks: &[ScanTask]| tasks.iter().map(|task| (task.task, task.node.clone())).collect();
        tasks
            .chunks(LIST_TASKS_MAX)
            .map(|some| Self::Abandon { tasks: named(some), loss: loss.clone() })
            .collect()
    }
}

/// The lists of tasks, put together from their parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskLists {
    partial: BTreeMap<Option<TaskId>, BTreeMap<u32, Vec<ScanTask>>>,
    complete: BTreeSet<Option<TaskId>>,
}

impl TaskLists {
    /// Takes a decision in. The tasks of the list that it completes, and what that list follows.
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
    use crate::ids::{Alias, RunId};
    use crate::range::{Scope, SlotListing};
    use crate::slot::SlotSet;

    fn tasks(count: usize) -> Vec<ScanTask> {
        let task = || ScanTask {
            run: RunId::new(),
            task: TaskId::new(),
            alias: Alias::new("main"),
            node: NodeId::new("n"),
            scope: Scope::Slots { slots: SlotSet::new(), listing: SlotListing::KeysInSlot },
            keys: 0,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        };
        (0..count).map(|_| task()).collect()
    }

    #[test]
    fn a_list_counts_when_all_its_parts_are_there() {
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
    fn an_empty_list_is_a_list() {
        let parts = Decision::list(None, &[]);
        assert_eq!(TaskLists::default().apply(&parts[0]), Some((None, Vec::new())));
    }

    #[test]
    fn a_successor_decides_anew_what_was_not_completed() {
        let (old, new) = (tasks(LIST_TASKS_MAX + 1), tasks(1));
        let mut lists = TaskLists::default();
        lists.apply(&Decision::list(None, &old)[0]);
        lists.apply(&Decision::LeaderElected { epoch: 2, who: "b".to_owned() });
        assert_eq!(lists.apply(&Decision::list(None, &new)[0]), Some((None, new)));
        assert_eq!(lists.apply(&Decision::list(None, &old)[1]), None, "nothing is mixed");
    }
}
