//! Which tasks scan what a task returned.

use keysweep_model::messages::{Remainder, RemainderReason};
use keysweep_model::range::Scope;
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::Decision;

use super::effect::Effect;
use super::plan_request::{NodeAnswer, NodeQuery, PlanPart, PlanRequest};
use super::recorded_state::is_continued;
use super::run_state::RunState;
use keysweep_model::ids::{NodeId, TaskId};

impl RunState {
    /// Plans the remainder of a task, if it has one that no list of tasks follows.
    pub(super) fn follow(&mut self, task: TaskId) {
        let Some(remainder) = self.recorded.remainders.get(&task).cloned() else { return };
        let planned_before = self.recorded.fold.reschedules(task);
        let is_unstable = remainder.parts.iter().any(|part| part.reason == RemainderReason::Unstable);
        let parts = remainder.parts.iter().filter_map(|part| self.part_of(&remainder.node, part)).collect();
        self.plan(PlanRequest {
            after: task,
            node: remainder.node,
            scan_generation: remainder.scan_generation,
            reschedules: planned_before.saturating_add(u32::from(is_unstable)),
            // Tried again as it was, after a pause, and not indefinitely.
            reschedules_unanswered: planned_before.saturating_add(1),
            parts,
        });
    }

    /// How a part of a remainder is planned; `None` if all of it is planned already.
    fn part_of(&mut self, node: &NodeId, part: &Remainder) -> Option<PlanPart> {
        let scope = part.scope.clone();
        let is_cursors = matches!(scope, Scope::Cursors(_));
        let whole = PlanPart { scope, query: None, giant: SlotSet::new() };
        if is_continued(part) {
            return Some(whole);
        }
        if part.reason == RemainderReason::HasPersistentKeys && is_cursors {
            return Some(PlanPart { query: Some(NodeQuery::Database(node.clone())), ..whole });
        }
        let slots = self.recorded.reassign(part);
        if slots.is_empty() {
            return None;
        }
        let is_giant = part.reason == RemainderReason::Giant;
        Some(PlanPart {
            giant: if is_giant { slots.clone() } else { SlotSet::new() },
            query: Some(NodeQuery::Slots(slots)),
            ..whole
        })
    }

    /// Plans the tasks of a request, once its queries are answered.
    pub(super) fn plan(&mut self, request: PlanRequest) {
        if request.queries().next().is_some() {
            self.effects.push(Effect::QueryNodes(Box::new(request)));
        } else {
            self.nodes_queried(&request, Vec::new());
        }
    }

    /// Appends the tasks of a request.
    pub(super) fn nodes_queried(&mut self, request: &PlanRequest, answers: Vec<Option<NodeAnswer>>) {
        let tasks = request.tasks(&mut self.planner, answers);
        self.append(Decision::list(Some(request.after), &tasks));
    }
}
