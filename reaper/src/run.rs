//! The reaper's loop: one batch, from the check of its grant to the stored receipt. What happens to the batch of a reaper
//! that freezes or is restarted: `docs/design/ledger.md`.

use std::time::Duration;

use keysweep_model::ids::{Alias, RunId};
use keysweep_model::messages::{ReapBatch, Reason, Receipt, RunSpec};
use keysweep_model::outcome::Outcome;
use keysweep_model::time::now_ms;
use keysweep_policy::Rule;
use keysweep_redis::guard::{Act, GuardMode};
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoint;
use keysweep_runtime::redis_clients::RedisClients;
use keysweep_runtime::spec_cache::SpecCache;
use keysweep_runtime::worker::{self, Disposition, Failure, Handler};
use keysweep_storage::audit::AuditEntry;
use keysweep_storage::queue::{Delivery, QueueError, Topic};
use keysweep_storage::records::RecordError;
use keysweep_telemetry::spans::{self, Attribute, AttributeValue, Traced};
use tokio_util::sync::CancellationToken;

use crate::attempt::{BatchAttempt, BatchContext, Interruption};
use crate::grants::{grant, until_granted};
use crate::node_session::NodeStates;
use crate::receipt::{BatchResult, uniform};
use crate::skipped_batches::ignore;
use crate::validate_batch::Allowed;
use crate::{backup_writer, ledger_outcomes, validate_batch};

/// The longest requeue delay of a batch whose grace is not over. The batch is checked at this interval, however long
/// the grace is, so that a cancelled run ends soon.
pub(crate) const GRACE_WAIT_MAX: Duration = Duration::from_millis(500);

/// The handler of reap batches. Several reapers may run in parallel.
pub struct Reaper {
    pub(crate) context: Context,
    clients: RedisClients,
    pub(crate) specs: SpecCache,
    nodes: NodeStates,
    shutdown: CancellationToken,
}

impl Reaper {
    /// Creates a reaper that stops at `shutdown`.
    #[must_use]
    pub fn new(context: Context, shutdown: CancellationToken) -> Self {
        let clients = RedisClients::new(&context);
        Self { specs: SpecCache::new(&context), clients, nodes: NodeStates::default(), context, shutdown }
    }

    /// Processes batches, up to `at_once` concurrently, until `shutdown` is cancelled.
    ///
    /// # Errors
    /// When the queue fails permanently.
    pub async fn run(&self, at_once: usize) -> Result<(), QueueError> {
        tokio::select! {
            ended = worker::run(&self.context, self, at_once, self.shutdown.clone()) => ended,
            () = self.context.activities.sweep(&self.context) => Ok(()),
        }
    }

    async fn reap(&self, batch: &ReapBatch, delivery: &Delivery) -> Result<Disposition, Failure> {
        let records = self.context.records(batch.run);
        let Some(spec) = self.specs.get(batch.run).await? else { return Ok(Disposition::Done) };
        if records.result().await?.is_some() {
            self.context.activities.forget(batch.run).await;
            return Ok(Disposition::Done);
        }
        if records.receipt(batch.batch).await?.is_some() {
            return Ok(Disposition::Done);
        }
        // A batch acts only if its task's grant lists it. Batches of another attempt at the task do nothing.
        let Some(grant) = grant(&records, &spec, batch.task).await? else {
            let later = until_granted(batch, now_ms());
            return self.wait_for_grant(&batch.into(), &spec, &records, later).await;
        };
        let Some(listed) = grant.batch(batch.batch) else { return Ok(Disposition::Done) };
        if !listed.is_sent_as(&delivery.payload) {
            return Ok(ignore(&batch.into()));
        }
        let rules = self.specs.rules(&spec)?;
        let rule = batch.rule.and_then(|rule| rules.as_deref()?.rule(rule));
        // The active users are a large record: it is read only for batches that need it.
        let asks_users = rule.is_some_and(Rule::asks_users);
        let activity = match asks_users || batch.groups.iter().any(|group| group.reason == Reason::Inactive) {
            true => self.context.activities.get(&records, &spec.rules).await?,
            false => None,
        };
        let (rules, activity) = (rules.as_deref(), activity.as_deref());
        validate_batch::check(batch, Allowed { spec: &spec, rules, grant: &grant, activity })
            .map_err(Failure::Refused)?;
        let cancel = records.cancel().await?;
        let act = Act::of(&spec.rules, rule);
        let mode =
            if cancel.is_some() { GuardMode::Finalize(Outcome::Unreached) } else { GuardMode::Act(act) };
        let context = &self.context;
        let (records, delivery) = (&records, Some(delivery));
        let done = match self
            .attempt(BatchContext {
                context,
                spec: &spec,
                records,
                batch,
                delivery,
                mode,
                // Only a condition asks for the user of a candidate.
                activity: activity.filter(|_| asks_users),
            })
            .await
        {
            Ok(done) => done,
            Err(Interruption::Later(delay)) => return Ok(Disposition::Requeue(delay.min(GRACE_WAIT_MAX))),
            Err(Interruption::Cancelled) => return Ok(Disposition::Requeue(Duration::ZERO)),
            Err(Interruption::Failed(failure)) => return Err(failure),
        };
        if let Some(fault) = done.failure {
            // The other groups are recorded in their ledgers.
            return Err(fault.into());
        }
        context.failpoints.hit(FailPoint::ReceiptPending).await;
        let too_large = || backup_writer::too_large(&spec, done.saved.as_ref());
        let cancel = if done.sealed { records.cancel().await? } else { cancel };
        let cause = cancel.map(|cancel| cancel.cause).or_else(too_large);
        let receipt = done.receipt(batch, cause);
        self.store(&spec, batch, &receipt).await?;
        context.failpoints.hit(FailPoint::ReceiptStored).await;
        Ok(Disposition::Done)
    }

    /// The outcomes of `batch` as its ledgers record them.
    async fn recorded(&self, batch: &ReapBatch, spec: &RunSpec, tried: bool) -> Result<BatchResult, Failure> {
        let client = self.clients.get(&batch.alias, spec.db).await?;
        let idle = Act::of(&spec.rules, None).idle_ms.is_some();
        ledger_outcomes::read(&client, batch, idle, tried).await
    }

    async fn attempt(&self, of: BatchContext<'_>) -> Result<BatchResult, Interruption> {
        BatchAttempt::new(of, &self.clients, &self.nodes).await?.run().await
    }

    /// Stores the outcomes of a batch: in the audit trail first, so that it contains every key that counts. In a state
    /// file that cannot be written any more, its keys remain as the attempt has named them: the run is stopped, but has
    /// its result.
    async fn store(&self, spec: &RunSpec, batch: &ReapBatch, receipt: &Receipt) -> Result<(), RecordError> {
        backup_writer::note(&self.context, spec, batch, receipt).await;
        if let Some(audit) = &self.context.audit {
            match audit.finish(batch.run, &AuditEntry::of(batch, receipt, now_ms())).await {
                Err(e) if !self.context.distributed => {
                    tracing::error!(batch = %batch.batch, error = %e, "the outcomes of a batch are not recorded");
                    let cause = format!("no key is deleted that cannot be recorded: {e}");
                    self.context.records(batch.run).create_unsaved(&cause).await?;
                }
                recorded => recorded?,
            }
        }
        if self.context.records(batch.run).create_receipt(receipt).await? {
            self.context.telemetry.reaped(&spec.job, &spec.alias, receipt, batch.keys());
        }
        Ok(())
    }
}

impl Handler for Reaper {
    type Message = ReapBatch;

    const TOPIC: Topic = Topic::Batches;

    fn identity(&self, batch: &ReapBatch) -> (RunId, String) {
        (batch.run, format!("batch/{}", batch.batch))
    }

    fn redis<'a>(&self, batch: &'a ReapBatch) -> &'a Alias {
        &batch.alias
    }

    fn traced(&self, batch: &ReapBatch) -> (Traced, Vec<Attribute>) {
        let mut attributes = spans::at_node(&batch.alias, &batch.node, "reap");
        attributes.push(("db.operation.batch.size", AttributeValue::Number(batch.keys())));
        attributes.push(("keysweep.batch.id", AttributeValue::Text(batch.batch.to_string())));
        (Traced::Batch, attributes)
    }

    async fn handle(&self, batch: &ReapBatch, delivery: &Delivery) -> Result<Disposition, Failure> {
        self.context.failpoints.hit(FailPoint::BatchReceived).await;
        self.reap(batch, delivery).await
    }

    /// Finalizes the batch: outcomes recorded in the ledgers count. All other candidates failed, or are unconfirmed if an
    /// earlier attempt may have changed them.
    async fn give_up(&self, batch: &ReapBatch, failure: &Failure) -> Result<(), Failure> {
        if let Failure::Refused(why) = failure {
            return self.end_failed(&batch.into(), why).await;
        }
        let records = self.context.records(batch.run);
        let Some(spec) = self.specs.get(batch.run).await? else { return Ok(()) };
        let cause = Some(failure.to_string());
        backup_writer::stop_if_impossible(failure, &records).await?;
        let (context, mode) = (&self.context, GuardMode::Finalize(Outcome::Failed));
        let of = BatchContext {
            context,
            spec: &spec,
            records: &records,
            batch,
            delivery: None,
            mode,
            activity: None,
        };
        let attempt = self.attempt(of).await;
        // A batch that was not tried must not be tried by another delivery later, unless its ledgers are sealed.
        let unsealed = records.end_untried(batch.batch).await?;
        let tried = unsealed == Outcome::Unconfirmed;
        let finalized = match attempt {
            Ok(done) => Some(done.filled(tried)),
            // A server that answers but rejects writes can still report its ledgers.
            Err(Interruption::Failed(Failure::Redis(fault))) if !fault.kind.is_transient() => {
                self.recorded(batch, &spec, tried).await.ok()
            }
            Err(_) => None,
        };
        let receipt = match finalized {
            Some(done) => done.receipt(batch, cause),
            None => uniform(batch, unsealed, cause),
        };
        match self.store(&spec, batch, &receipt).await {
            // The outcomes do not fit into one record.
            Err(RecordError::Wire { .. }) => self.end_failed(&batch.into(), &failure.to_string()).await,
            stored => Ok(stored?),
        }
    }

    async fn undecodable(&self, payload: &[u8], reason: &str) -> Result<Disposition, Failure> {
        self.end_undecodable(payload, reason).await
    }
}
