//! Batches that are not acted on: refused, undecodable, or without a grant when their run is cancelled. One outcome
//! covers all their candidates, so the receipt always fits.

use std::time::Duration;

use keysweep_model::messages::{BatchHead, Grant, Receipt, RunSpec};
use keysweep_model::wire;
use keysweep_runtime::worker::{Disposition, Failure};
use keysweep_storage::records::Records;

use crate::grants::grant;
use crate::run::Reaper;

/// The delay for a batch without a grant that cannot be decoded, so that its due time is unknown.
const UNDECODABLE_WAIT: Duration = Duration::from_millis(100);

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
