//! A list of tasks to plan, what must be known of the nodes for it, and the tasks that follow from the answers. Pure.

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::ScanTask;
use keysweep_model::range::Scope;
use keysweep_model::slot::SlotSet;

use crate::plan::{NodeKeys, Planner};

/// A request for the tasks of one list.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRequest {
    /// What the list follows: the task whose remainder it covers, or a failover check.
    pub after: TaskId,
    /// The node to which slots are planned that no node serves. Its scanner returns them, and they are planned again.
    pub node: NodeId,
    /// The scan generation of the tasks.
    pub scan_generation: u32,
    /// How often these parts of the keyspace were planned before.
    pub reschedules: u32,
    /// The same for parts whose query failed.
    pub reschedules_unanswered: u32,
    /// The parts.
    pub parts: Vec<PlanPart>,
}

/// A part of the keyspace that must be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanPart {
    /// The slots or ranges. Without an answer to the query, one task scans them at the node of the request.
    pub scope: Scope,
    /// What the tasks depend on; `None` if one task scans the scope.
    pub query: Option<NodeQuery>,
    /// Slots to scan in ranges, regardless of their number of keys.
    pub giant: SlotSet,
}

/// A query about nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeQuery {
    /// The database of a standalone server.
    Database(NodeId),
    /// The nodes that serve these slots, and their numbers of keys.
    Slots(SlotSet),
}

/// The answer to a query about nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAnswer {
    /// The nodes, with their part of the slots.
    pub nodes: Vec<NodeKeys>,
    /// Slots that no node serves.
    pub unserved: SlotSet,
}

impl PlanPart {
    /// Slots whose nodes are queried.
    pub(super) fn slots(slots: SlotSet) -> Self {
        let scope = Scope::Slots { slots: slots.clone() };
        Self { scope, query: Some(NodeQuery::Slots(slots)), giant: SlotSet::new() }
    }
}

impl PlanRequest {
    /// The queries, in the order of their parts.
    pub fn queries(&self) -> impl Iterator<Item = &NodeQuery> {
        self.parts.iter().filter_map(|part| part.query.as_ref())
    }

    /// The tasks, by the answers to the queries.
    pub(super) fn tasks(&self, planner: &mut Planner, answers: Vec<Option<NodeAnswer>>) -> Vec<ScanTask> {
        planner.scan_generation = self.scan_generation;
        let mut answers = answers.into_iter();
        let mut tasks = Vec::new();
        for part in &self.parts {
            planner.reschedules = self.reschedules;
            let Some(query) = &part.query else {
                tasks.push(planner.task(&self.node, part.scope.clone(), 0));
                continue;
            };
            match (query, answers.next().flatten()) {
                (NodeQuery::Database(_), Some(answer)) => {
                    tasks.extend(answer.nodes.iter().flat_map(|node| planner.database(node)));
                }
                (NodeQuery::Slots(_), Some(answer)) => {
                    tasks.extend(self.slot_tasks(planner, part, answer));
                }
                (_, None) => {
                    planner.reschedules = self.reschedules_unanswered;
                    tasks.push(planner.task(&self.node, part.scope.clone(), 0));
                }
            }
        }
        tasks
    }

    fn slot_tasks(&self, planner: &mut Planner, part: &PlanPart, answer: NodeAnswer) -> Vec<ScanTask> {
        let mut tasks = Vec::new();
        for node in answer.nodes {
            tasks.extend(planner.slots(&node, &part.giant));
        }
        if !answer.unserved.is_empty() {
            tasks.push(planner.task(&self.node, Scope::Slots { slots: answer.unserved }, 0));
        }
        tasks
    }
}
