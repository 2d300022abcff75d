//! Batches that wait for their grant, and batches that end without an action: refused, undecodable, or without a grant
//! when their run is cancelled. One outcome covers all their candidates, so the receipt always fits.

use std::time::Duration;

use keysweep_model::ids::TaskId;
use keysweep_model::messages::{BatchHead, Grant, ReapBatch, Receipt, RunSpec};
use keysweep_model::wire;
use keysweep_runtime::worker::{Disposition, Failure};
use keysweep_storage::records::{RecordError, Records};

use crate::run::{GRACE_WAIT_MAX, Reaper};

/// The shortest and the longest delay before a batch is checked again that should have its grant by now. A batch of an
/// interrupted scan attempt never gets one and is requeued until its run ends.
const GRANT_WAITS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The delay for a batch without a grant that cannot be decoded, so that its due time is unknown.
const UNDECODABLE_WAIT: Duration = Duration::from_millis(100);

/// How long a batch without a grant waits. This uses our clock, not the node's: it only decides when the batch is
/// checked again.
pub(crate) fn until_granted(batch: &ReapBatch, now_ms: u64) -> Duration {
    let early = Duration::from_millis(batch.not_before_ms.saturating_sub(now_ms));
    let late = Duration::from_millis(now_ms.saturating_sub(batch.not_before_ms));
    let (shortest, longest) = GRANT_WAITS;
    if early.is_zero() { (late / 4).clamp(shortest, longest) } else { (early + shortest).min(GRACE_WAIT_MAX) }
}

/// Which batches of `task` may act; `None` until that is decided.
pub(crate) async fn grant(
    records: &Records,
    spec: &RunSpec,
    task: TaskId,
) -> Result<Option<Grant>, RecordError> {
    if spec.grants {
        return records.grant(task).await;
    }
    Ok(records.report(task).await?.map(|report| Grant::claimed(&report)))
}

/// Ignores a message that its scanner did not send, although it names a batch that may act: the scanner's own message
/// acts; this one neither acts nor ends the batch.
pub(crate) fn ignore(head: &BatchHead) -> Disposition {
    let BatchHead { run, batch, task } = head;
    tracing::warn!(%run, %batch, %task, "ignored a message that is not the batch in the task's report");
    Disposition::Done
}

impl Reaper {
    /// Requeues a batch without a grant for `later`, or ends it if its run was cancelled: then it gets no grant.
    pub(crate) async fn wait_for_grant(
        &self,
        head: &BatchHead,
        spec: &RunSpec,
        records: &Records,
        later: Duration,
    ) -> Result<Disposition, Failure> {
        let later = Disposition::Requeue(later);
        let Some(cancel) = records.cancel().await? else { return Ok(later) };
        let Some(report) = records.report(head.task).await? else { return Ok(later) };
        self.end(head, spec, &Grant::claimed(&report), &cancel.cause).await?;
        Ok(Disposition::Done)
    }

    /// Ends a batch that `grant` lists by a receipt with `cause`: unreached, or unconfirmed if an earlier delivery was
    /// tried.
    pub(crate) async fn end(
        &self,
        head: &BatchHead,
        spec: &RunSpec,
        grant: &Grant,
        cause: &str,
    ) -> Result<(), Failure> {
        let Some(listed) = grant.batch(head.batch) else { return Ok(()) };
        let records = self.context.records(head.run);
        // A concurrent or later delivery does not try the batch any more.
        let outcome = records.end_untried(head.batch).await?;
        let receipt =
            Receipt::whole(head.run, head.batch, grant.node.clone(), grant.scan_generation, outcome, cause);
        if records.create_receipt(&receipt).await? {
            self.context.telemetry.reaped(&spec.job, &spec.alias, &receipt, listed.keys);
        }
        Ok(())
    }

    /// Ends a failed batch without a request to its node.
    pub(crate) async fn end_failed(&self, head: &BatchHead, cause: &str) -> Result<(), Failure> {
        let records = self.context.records(head.run);
        let Some(spec) = self.specs.get(head.run).await? else { return Ok(()) };
        let Some(grant) = grant(&records, &spec, head.task).await? else { return Ok(()) };
        self.end(head, &spec, &grant, cause).await
    }

    /// Ends an undecodable batch once it has its grant, if the message contains the batch's ids.
    pub(crate) async fn end_undecodable(&self, payload: &[u8], cause: &str) -> Result<Disposition, Failure> {
        let Ok(head) = wire::decode::<BatchHead>(payload) else { return Ok(Disposition::Done) };
        let records = self.context.records(head.run);
        let Some(spec) = self.specs.get(head.run).await? else { return Ok(Disposition::Done) };
        if records.result().await?.is_some() {
            return Ok(Disposition::Done);
        }
        match grant(&records, &spec, head.task).await? {
            Some(grant) if grant.batch(head.batch).is_some_and(|listed| !listed.is_sent_as(payload)) => {
                Ok(ignore(&head))
            }
            Some(grant) => self.end(&head, &spec, &grant, cause).await.map(|()| Disposition::Done),
            None => self.wait_for_grant(&head, &spec, &records, UNDECODABLE_WAIT).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::tests::batch_of;

    #[test]
    fn a_batch_without_grant_is_checked_when_due_and_then_less_often() {
        let batch = ReapBatch { not_before_ms: 10_000, not_after_ms: 20_000, ..batch_of(Vec::new(), 0) };
        let check = |now_ms, expected| {
            assert_eq!(until_granted(&batch, now_ms), Duration::from_millis(expected), "{now_ms}");
        };
        check(0, 500);
        check(9_900, 105);
        check(10_000, 5);
        check(10_100, 25);
        check(11_000, 250);
        check(u64::MAX, 1_000);
        let never = ReapBatch { not_before_ms: u64::MAX, ..batch };
        assert_eq!(until_granted(&never, 0), GRACE_WAIT_MAX);
    }
}
