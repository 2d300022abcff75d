//! Which tasks read what a task handed back.

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{Remainder, RequeueReason, ScanTask, TaskReport};
use keysweep_model::range::{Scope, SlotListing};
use keysweep_model::slot::SlotSet;
use keysweep_redis::{ConnectOptions, RedisClient, RedisError};

use super::driver::Driver;
use crate::plan::Planner;
use crate::replan::{replan, replan_database};
use crate::task_ids::TaskIds;

/// Whether a rest is read on as it is: the positions of a pass that were not reached.
fn is_continued(rest: &Remainder) -> bool {
    rest.reason == RequeueReason::Full && matches!(rest.scope, Scope::Cursors(_))
}

/// The task that reads `slots` at `node`, of which nobody says who serves them: it is handed back and planned again.
pub(super) fn without_sample(planner: &mut Planner, node: &NodeId, slots: SlotSet) -> ScanTask {
    planner.task(node, Scope::Slots { slots, listing: SlotListing::KeysInSlot }, 0)
}

impl Driver<'_> {
    /// The tasks that read the rest of a task.
    pub(super) async fn follow(&mut self, report: &TaskReport) -> Vec<ScanTask> {
        let replans = self.fold.reschedules(report.task);
        let again = report.remainder.iter().any(|rest| rest.reason == RequeueReason::Unstable);
        let mut planner = Planner {
            reschedules: if again { replans.saturating_add(1) } else { replans },
            scan_generation: report.scan_generation,
            ..Planner::new(report.run, self.spec.alias.clone(), TaskIds::random())
        };
        let mut tasks = Vec::new();
        for rest in &report.remainder {
            match self.follow_rest(&mut planner, &report.node, rest).await {
                Ok(followed) => tasks.extend(followed),
                Err(fault) => {
                    // Tried again as it was, after a pause, and not for ever.
                    tracing::warn!(error = %fault, "planned again without looking");
                    self.client = None;
                    let ids = TaskIds::random();
                    let mut planner =
                        Planner { reschedules: replans.saturating_add(1), ids, ..planner.clone() };
                    tasks.push(planner.task(&report.node, rest.scope.clone(), 0));
                }
            }
        }
        tasks
    }

    async fn follow_rest(
        &mut self,
        planner: &mut Planner,
        node: &NodeId,
        rest: &Remainder,
    ) -> Result<Vec<ScanTask>, RedisError> {
        if is_continued(rest) {
            return Ok(vec![planner.task(node, rest.scope.clone(), 0)]);
        }
        if rest.reason == RequeueReason::HasPersistentKeys && matches!(rest.scope, Scope::Cursors(_)) {
            return replan_database(self.deployment().await?, planner, node).await;
        }
        let slots = self.not_handed_on(rest);
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let giant = if rest.reason == RequeueReason::Giant { slots.clone() } else { SlotSet::new() };
        let listing = (rest.reason == RequeueReason::Unordered).then_some(SlotListing::KeysInSlot);
        let client = self.deployment().await?;
        let (mut tasks, unserved) = replan(client, planner, &slots, &giant, listing).await?;
        tasks.extend((!unserved.is_empty()).then(|| without_sample(planner, node, unserved)));
        Ok(tasks)
    }

    /// The slots of a rest that are still to be planned again. Every part of a pass over giant slots hands back
    /// a slot that moved as a whole, so only the first part's word counts: otherwise each would start a pass of
    /// its own, and so on.
    fn not_handed_on(&mut self, rest: &Remainder) -> SlotSet {
        let slots = rest.scope.slots();
        let Some(pass) = rest.pass else { return slots };
        let before = self.reassigned.entry(pass).or_default();
        let new = slots.difference(before);
        before.extend(&new);
        new
    }

    /// Notes what a coordinator before us planned again.
    pub(super) fn was_followed(&mut self, report: &TaskReport) {
        for rest in report.remainder.iter().filter(|rest| !is_continued(rest)) {
            self.not_handed_on(rest);
        }
    }

    pub(super) async fn deployment(&mut self) -> Result<&RedisClient, RedisError> {
        if self.client.is_none() {
            let access = self.context.access(&self.spec.alias, self.spec.db);
            let access = access.unwrap_or_else(|| ConnectOptions::open(Vec::new()));
            self.client = Some(RedisClient::discover(access).await?);
        }
        self.client.as_ref().ok_or_else(|| RedisError::unexpected("?", "discovery"))
    }
}
