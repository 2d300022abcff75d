//! At the end of a run: whether its writes still exist. A primary that failed may have lost writes that no replica had.
//! Slots that were written under a replication id that is gone are scanned again.

use std::time::Duration;

use keysweep_redis::replication::ReplicationState;
use keysweep_storage::records::Decision;
use reporter::NodeReplicationId;

use super::effect::{Effect, Notice};
use super::input::HistoryReply;
use super::plan_request::{PlanPart, PlanRequest};
use super::run_state::RunState;

/// A failover check that waits for nodes that do not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingCheck {
    /// When the nodes were queried first.
    since: Duration,
    /// When they are queried next.
    next: Duration,
}

/// What is known of a replication history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailoverResult {
    /// Its node continues it.
    Continues,
    /// All replicas have it, so it cannot be lost with its node.
    Safe,
    /// Its node has another one, or is not a primary any more, as after a restart or a failover.
    Gone,
    /// Its node does not answer, or does not report its replication id any more, and no other node has taken its place.
    Unknown,
}

impl FailoverResult {
    /// The result for the replication id `before`.
    fn of(before: &str, reply: &HistoryReply) -> Self {
        match reply {
            HistoryReply::NotPrimary => Self::Gone,
            HistoryReply::NoAnswer => Self::Unknown,
            HistoryReply::Answered { replication_id: Some(now), .. } if now != before => Self::Gone,
            // A server that never reports an id has none to lose.
            HistoryReply::Answered { replication_id: None, .. } if !before.is_empty() => Self::Unknown,
            HistoryReply::Answered { replicas: ReplicationState::InStep, .. } => Self::Safe,
            HistoryReply::Answered { .. } => Self::Continues,
        }
    }
}

impl RunState {
    /// Queries the histories once everything is done.
    pub(super) fn check_failover(&mut self) {
        let fold = &self.recorded.fold;
        // Own decisions count only once they are read back: otherwise the same check would be appended twice.
        let is_read = || self.recorded.has_entries(self.config.epoch.entry, self.next_entry);
        let is_early = self.pending_check.is_some_and(|check| self.now < check.next);
        if is_early || !fold.is_settled() || fold.complete() || !is_read() {
            return;
        }
        let durability = fold.durability();
        let open = durability.open(durability.next_scan_generation());
        let since = self.pending_check.map_or(self.now, |check| check.since);
        self.pending_check = Some(PendingCheck { since, next: self.now });
        self.effects.push(Effect::QueryHistories(open.into_iter().collect()));
    }

    /// Appends the result of the check, unless nodes that do not answer may still come back.
    pub(super) fn histories_queried(&mut self, replies: &[(NodeReplicationId, HistoryReply)]) {
        let results: Vec<(&NodeReplicationId, FailoverResult)> =
            replies.iter().map(|(history, reply)| (history, FailoverResult::of(&history.1, reply))).collect();
        let since = self.pending_check.map_or(self.now, |check| check.since);
        let has_unknown = results.iter().any(|(_, result)| *result == FailoverResult::Unknown);
        if has_unknown && self.now.saturating_sub(since) < self.config.timing.primary_wait {
            let next = self.now + self.config.timing.retry_delay_max;
            self.pending_check = Some(PendingCheck { since, next });
            return;
        }
        self.pending_check = None;
        let with = |wanted: &[FailoverResult]| -> Vec<NodeReplicationId> {
            let all = results.iter().filter(|(_, result)| wanted.contains(result));
            all.map(|(history, _)| (*history).clone()).collect()
        };
        let gone = with(&[FailoverResult::Gone, FailoverResult::Unknown]);
        let unknown = with(&[FailoverResult::Unknown]);
        let safe = with(&[FailoverResult::Safe]);
        if !gone.is_empty() {
            let (replaced, unconfirmed) = (gone.len() - unknown.len(), unknown.len());
            self.effects.push(Effect::Log(Notice::DeletionsLost { replaced, unconfirmed }));
        }
        let (id, durability) = (self.planner.ids.take(), self.recorded.fold.durability());
        let scan_generation = durability.next_scan_generation();
        self.append(vec![Decision::Check { id, scan_generation, gone, unknown, safe }]);
    }

    /// Plans the slots whose writes are lost according to the last check, unless a list of tasks follows it.
    pub(super) fn rescan(&mut self) {
        let durability = self.recorded.fold.durability();
        let Some((scan_generation, id)) =
            durability.last_lost().filter(|(_, id)| !self.recorded.is_followed(*id))
        else {
            return;
        };
        let slots = durability.lost_slots(scan_generation);
        let first = self.spec.nodes.first().map(|planned| planned.node.clone());
        // A standalone server is identified by its process: another process may be another deployment.
        let Some(node) = first.filter(|_| self.spec.cluster && !slots.is_empty()) else {
            self.append(Decision::list(Some(id), &[]));
            return;
        };
        self.plan(PlanRequest {
            after: id,
            node,
            scan_generation,
            reschedules: 0,
            reschedules_unanswered: 0,
            parts: vec![PlanPart::slots(slots)],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_reports_no_replication_id_is_unknown_and_not_gone() {
        let check = |before: &str, now: Option<&str>, replicas, expected| {
            let reply = HistoryReply::Answered { replication_id: now.map(str::to_owned), replicas };
            assert_eq!(FailoverResult::of(before, &reply), expected, "`{before}`, {reply:?}");
        };
        for replicas in [ReplicationState::None, ReplicationState::InStep, ReplicationState::Behind] {
            check("8c5f", None, replicas, FailoverResult::Unknown);
            check("8c5f", Some("77aa"), replicas, FailoverResult::Gone);
            // An outcome that was read from a ledger belongs to no known history.
            check("", Some("77aa"), replicas, FailoverResult::Gone);
        }
        for history in [None, Some("8c5f")] {
            let before = history.unwrap_or_default();
            check(before, history, ReplicationState::None, FailoverResult::Continues);
            check(before, history, ReplicationState::Behind, FailoverResult::Continues);
            check(before, history, ReplicationState::InStep, FailoverResult::Safe);
        }
    }
}
