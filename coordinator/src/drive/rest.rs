//! Which tasks read what a task handed back.

use shared::cluster::{Access, Deployment, Fault};
use shared::ids::NodeId;
use shared::messages::{Rest, RestReason, ScanTask, TaskReport};
use shared::range::{Scope, SlotListing};
use shared::slot::SlotSet;

use super::driver::Driver;
use crate::plan::Planner;
use crate::replan::{replan, replan_database};

/// Whether a rest is read on as it is: the positions of a pass that were not reached.
fn is_continued(rest: &Rest) -> bool {
    rest.reason == RestReason::Full && matches!(rest.scope, Scope::Cursors(_))
}

/// The task that reads `slots` at `node`, of which nobody says who serves them: it is handed back and planned again.
pub(super) fn blindly(planner: &Planner, node: &NodeId, slots: SlotSet) -> ScanTask {
    planner.task(node, Scope::Slots { slots, listing: SlotListing::KeysInSlot }, 0)
}

impl Driver<'_> {
    /// The tasks that read the rest of a task.
    pub(super) async fn follow(&mut self, report: &TaskReport) -> Vec<ScanTask> {
        let replans = self.fold.replans(report.task);
        let again = report.rest.iter().any(|rest| rest.reason == RestReason::Unstable);
        let planner = Planner {
            run: report.run,
            alias: self.spec.alias.clone(),
            replans: if again { replans.saturating_add(1) } else { replans },
            round: report.round,
        };
        let mut tasks = Vec::new();
        for rest in &report.rest {
            match self.follow_rest(&planner, &report.node, rest).await {
                Ok(followed) => tasks.extend(followed),
                Err(fault) => {
                    // Tried again as it was, after a pause, and not for ever.
                    tracing::warn!(error = %fault, "planned again without looking");
                    self.deployment = None;
                    let planner = Planner { replans: replans.saturating_add(1), ..planner.clone() };
                    tasks.push(planner.task(&report.node, rest.scope.clone(), 0));
                }
            }
        }
        tasks
    }

    async fn follow_rest(
        &mut self,
        planner: &Planner,
        node: &NodeId,
        rest: &Rest,
    ) -> Result<Vec<ScanTask>, Fault> {
        if is_continued(rest) {
            return Ok(vec![planner.task(node, rest.scope.clone(), 0)]);
        }
        if rest.reason == RestReason::NotHealthy && matches!(rest.scope, Scope::Cursors(_)) {
            return replan_database(self.deployment().await?, planner, node).await;
        }
        let slots = self.not_handed_on(rest);
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let giant = if rest.reason == RestReason::Giant { slots.clone() } else { SlotSet::new() };
        let listing = (rest.reason == RestReason::Unordered).then_some(SlotListing::KeysInSlot);
        let deployment = self.deployment().await?;
        let (mut tasks, unserved) = replan(deployment, planner, &slots, &giant, listing).await?;
        tasks.extend((!unserved.is_empty()).then(|| blindly(planner, node, unserved)));
        Ok(tasks)
    }

    /// The slots of a rest that are still to be planned again. Every part of a pass over giant slots hands back
    /// a slot that moved as a whole, so only the first part's word counts: otherwise each would start a pass of
    /// its own, and so on.
    fn not_handed_on(&mut self, rest: &Rest) -> SlotSet {
        let slots = rest.scope.slots();
        let Some(pass) = rest.pass else { return slots };
        let before = self.handed_on.entry(pass).or_default();
        let new = slots.difference(before);
        before.extend(&new);
        new
    }

    /// Notes what a coordinator before us planned again.
    pub(super) fn was_followed(&mut self, report: &TaskReport) {
        for rest in report.rest.iter().filter(|rest| !is_continued(rest)) {
            self.not_handed_on(rest);
        }
    }

    pub(super) async fn deployment(&mut self) -> Result<&Deployment, Fault> {
        if self.deployment.is_none() {
            let access = self.env.access(&self.spec.alias, self.spec.db);
            let access = access.unwrap_or_else(|| Access::open(Vec::new()));
            self.deployment = Some(Deployment::discover(access).await?);
        }
        self.deployment.as_ref().ok_or_else(|| Fault::unexpected("?", "discovery"))
    }
}
