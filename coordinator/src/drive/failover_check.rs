//! At the end of a run, whether what was done still holds: a primary that failed may have taken with it what no
//! replica had yet. What was done under a history that is gone is read again.

use keysweep_model::ids::TaskId;
use keysweep_model::messages::ScanTask;
use keysweep_model::slot::SlotSet;
use keysweep_redis::replication::{self, ReplicationState};
use keysweep_redis::{RedisClient, RedisError};
use keysweep_storage::records::Decision;
use keysweep_tasks::concurrency::join_bounded;
use reporter::ReplicationId;
use tokio::time::Instant;

use super::DriveError;
use super::driver::Driver;
use super::reschedule::without_sample;
use crate::plan::Planner;
use crate::replan::replan;
use crate::task_ids::TaskIds;

/// What is known of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailoverResult {
    /// Its node goes on with it.
    There,
    /// All replicas have it, so it cannot be lost with its node.
    Safe,
    /// Its node has another one, or is no primary any more: as after a restart or a failover.
    Gone,
    /// Its node does not answer, or does not name its history any more, and no other server has taken its place.
    Unknown,
}

impl FailoverResult {
    /// What it means for `history` that its node names `now`, and what its replicas have of that.
    fn of(history: &str, now: Option<&str>, replicas: ReplicationState) -> Self {
        match (now, replicas) {
            // A server that never names one has none to lose; one that named it before says nothing of it now.
            (None, _) if !history.is_empty() => Self::Unknown,
            (Some(now), _) if now != history => Self::Gone,
            (_, ReplicationState::InStep) => Self::Safe,
            (_, ReplicationState::None | ReplicationState::Behind) => Self::There,
        }
    }
}

impl Driver<'_> {
    /// Asks, once everything is done, whether it still holds, and enters the answer into the log.
    pub(super) async fn check(&mut self) -> Result<(), DriveError> {
        let now = Instant::now();
        if !self.fold.is_settled()
            || self.fold.complete()
            || self.failover_check.is_some_and(|(_, next)| now < next)
        {
            return Ok(());
        }
        let round = self.fold.durability().next_scan_generation();
        let open: Vec<ReplicationId> = self.fold.durability().open(round).into_iter().collect();
        let fates = match self.deployment().await {
            Ok(deployment) => ask(deployment, &open).await,
            Err(fault) => Err(fault),
        };
        let fates = fates.unwrap_or_else(|fault| {
            tracing::debug!(error = %fault, "nobody says whether what was done still holds");
            vec![FailoverResult::Unknown; open.len()]
        });
        let (since, _) = self.failover_check.unwrap_or((now, now));
        if fates.contains(&FailoverResult::Unknown) && since.elapsed() < self.context.timing.primary_wait {
            self.failover_check = Some((since, Instant::now() + self.context.timing.retry_delay_max));
            return Ok(());
        }
        self.failover_check = None;
        let with = |wanted: &[FailoverResult]| {
            let all = open.iter().zip(&fates).filter(|(_, fate)| wanted.contains(fate));
            all.map(|(history, _)| history.clone()).collect::<Vec<ReplicationId>>()
        };
        let (gone, safe) =
            (with(&[FailoverResult::Gone, FailoverResult::Unknown]), with(&[FailoverResult::Safe]));
        let unknown = with(&[FailoverResult::Unknown]);
        if !gone.is_empty() {
            let (run, replaced) = (&self.spec.run, gone.len() - unknown.len());
            let unconfirmed = unknown.len();
            tracing::warn!(%run, replaced, unconfirmed, "slots are read again: their deletions may not hold");
        }
        self.decide(vec![Decision::Check { id: TaskId::new(), scan_generation: round, gone, unknown, safe }])
            .await
    }

    /// Decides which tasks read again what does not hold by the last check, unless that has been decided.
    pub(super) async fn rescan(&mut self) -> Result<(), DriveError> {
        let Some((round, id)) =
            self.fold.durability().last_lost().filter(|(_, id)| !self.lists.has(Some(*id)))
        else {
            return Ok(());
        };
        let slots = self.fold.durability().lost_slots(round);
        // A standalone server is known by its process. One that is another by now may be a stranger's.
        let tasks = if self.spec.cluster { self.rescan_tasks(round, slots).await } else { Vec::new() };
        self.decide(Decision::list(Some(id), &tasks)).await
    }

    async fn rescan_tasks(&mut self, round: u32, slots: SlotSet) -> Vec<ScanTask> {
        let planner = Planner::new(self.spec.run, self.spec.alias.clone(), TaskIds::random());
        let mut planner = Planner { scan_generation: round, ..planner };
        let planned = match self.deployment().await {
            Ok(deployment) => replan(deployment, &mut planner, &slots, &SlotSet::new(), None).await,
            Err(fault) => Err(fault),
        };
        let (mut tasks, unserved) = planned.unwrap_or_else(|fault| {
            tracing::warn!(error = %fault, "planned again without looking");
            (Vec::new(), slots)
        });
        let somewhere = self.spec.nodes.first().map(|planned| planned.node.clone());
        let unserved = (!unserved.is_empty()).then_some(unserved);
        tasks.extend(somewhere.zip(unserved).map(|(node, slots)| without_sample(&mut planner, &node, slots)));
        tasks
    }
}

/// How things stand with each of the histories.
async fn ask(client: &RedisClient, histories: &[ReplicationId]) -> Result<Vec<FailoverResult>, RedisError> {
    let topology = client.refresh().await?;
    let one = async |(node, history): &ReplicationId| {
        if topology.cluster && topology.primaries.iter().all(|primary| primary.node != *node) {
            return FailoverResult::Gone;
        }
        let asked = async { replication::caught_up(&client.conn(node).await?).await };
        match asked.await {
            Ok((now, replicas)) => FailoverResult::of(history, now.as_deref(), replicas),
            Err(fault) => {
                tracing::debug!(error = %fault, "a primary does not answer");
                client.forget(node);
                FailoverResult::Unknown
            }
        }
    };
    Ok(join_bounded(histories.iter().map(one).collect()).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_name_its_history_has_not_left_it() {
        let check = |history: &str, now, replicas, expected| {
            assert_eq!(
                FailoverResult::of(history, now, replicas),
                expected,
                "`{history}`, {now:?}, {replicas:?}"
            );
        };
        for replicas in [ReplicationState::None, ReplicationState::InStep, ReplicationState::Behind] {
            check("8c5f", None, replicas, FailoverResult::Unknown);
            check("8c5f", Some("77aa"), replicas, FailoverResult::Gone);
            // What was recalled from a ledger no history vouches for.
            check("", Some("77aa"), replicas, FailoverResult::Gone);
        }
        for history in [None, Some("8c5f")] {
            let before = history.unwrap_or_default();
            check(before, history, ReplicationState::None, FailoverResult::There);
            check(before, history, ReplicationState::Behind, FailoverResult::There);
            check(before, history, ReplicationState::InStep, FailoverResult::Safe);
        }
    }
}
