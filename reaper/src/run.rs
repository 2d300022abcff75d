//! The reaper's loop: one batch, from the check of its grant to the stored receipt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keysweep_model::ids::{Alias, NodeId, RunId};
use keysweep_model::limits::FIELD_TTLS_KNOWN_FOR;
use keysweep_model::messages::{Group, ReapBatch, Reason, Receipt, RunSpec, UnreplicatedWrites};
use keysweep_model::outcome::Outcome;
use keysweep_model::time::now_ms;
use keysweep_redis::guard::{self, Act, BatchWindow, GuardMode, GuardReply, GuardVerdict, Part};
use keysweep_redis::{RedisClient, RedisErrorKind, node, same_deployment};
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoint;
use keysweep_runtime::redis_clients::RedisClients;
use keysweep_runtime::spec_cache::SpecCache;
use keysweep_runtime::worker::{self, Disposition, Failure, Handler};
use keysweep_storage::audit::{self, AuditEntry};
use keysweep_storage::queue::{Delivery, QueueError, Topic};
use keysweep_storage::records::{RecordError, Records};
use keysweep_telemetry::RequestKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{AttemptOutcome, BatchAttempt, BatchResult, ScriptCall, route, unserved, with_fields};
use crate::backup_writer::{self, BackupWriter};
use crate::chunks::{Chunk, piece};
use crate::fingerprints::{Fingerprints, scanned};
use crate::node_session::NodeState;
use crate::receipt::{done_in, outcomes, receipt, uniform};
use crate::skipped_batches::{grant, ignore, until_granted};
use crate::throttle::BatchThrottle;
use crate::validate_batch;

/// The longest requeue delay of a batch whose grace is not over. The batch is checked at this interval, however long
/// the grace is, so that a cancelled run ends soon.
pub(crate) const GRACE_WAIT_MAX: Duration = Duration::from_millis(500);

/// The handler of reap batches. Several reapers may run in parallel.
pub struct Reaper {
    pub(crate) context: Context,
    clients: RedisClients,
    pub(crate) specs: SpecCache,
    nodes: Mutex<BTreeMap<(Alias, NodeId), Arc<NodeState>>>,
    shutdown: CancellationToken,
}

impl Reaper {
    /// Creates a reaper that stops at `shutdown`.
    #[must_use]
    pub fn new(context: Context, shutdown: CancellationToken) -> Self {
        let clients = RedisClients::new(&context);
        Self { specs: SpecCache::new(&context), clients, nodes: Mutex::default(), context, shutdown }
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

    fn node_state(&self, alias: &Alias, node: &NodeId) -> Arc<NodeState> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nodes.entry((alias.clone(), node.clone())).or_default())
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
        // The active users are a large record: it is read only for batches that need it.
        let of_users = batch.groups.iter().any(|group| group.reason == Reason::Inactive);
        let activity = match of_users {
            true => self.context.activities.get(&records, &spec.rules).await?,
            false => None,
        };
        validate_batch::check(batch, &spec, &grant, activity.as_deref()).map_err(Failure::Refused)?;
        let cancel = records.cancel().await?;
        let act = Act::of(&spec.rules);
        let mode =
            if cancel.is_some() { GuardMode::Finalize(Outcome::Unreached) } else { GuardMode::Act(act) };
        match self.act((batch, Some(delivery)), &spec, mode, &records).await? {
            AttemptOutcome::Early(ms) => {
                Ok(Disposition::Requeue(Duration::from_millis(ms).min(GRACE_WAIT_MAX)))
            }
            AttemptOutcome::Done(done) => {
                let BatchResult { outcomes, pacing, unreplicated, extra_lookups, saved, freed, failure } =
                    *done;
                // The other groups are recorded in their ledgers.
                failure.map_or(Ok(()), Err)?;
                self.context.failpoints.hit(FailPoint::ReceiptPending).await;
                let too_large = || backup_writer::too_large(&spec, saved.as_ref());
                let cause = cancel.map(|cancel| cancel.cause).or_else(too_large);
                let mut receipt = receipt(batch, outcomes, act.idle_ms.is_some(), saved.as_ref(), cause);
                receipt.lookups += extra_lookups;
                self.store(&spec, batch, &Receipt { pacing, unreplicated, freed, ..receipt }).await?;
                self.context.failpoints.hit(FailPoint::ReceiptStored).await;
                Ok(Disposition::Done)
            }
        }
    }

    /// Stores the outcomes of a batch: in the audit trail first, so that it contains every key that counts.
    async fn store(&self, spec: &RunSpec, batch: &ReapBatch, receipt: &Receipt) -> Result<(), RecordError> {
        backup_writer::note(&self.context, spec, batch, receipt).await;
        if self.context.distributed {
            audit::write(&*self.context.store, batch.run, &AuditEntry::of(batch, receipt, now_ms())).await?;
        }
        if self.context.records(batch.run).create_receipt(receipt).await? {
            self.context.telemetry.reaped(&spec.job, &spec.alias, receipt, batch.keys());
        }
        Ok(())
    }

    async fn act(
        &self,
        (batch, delivery): (&ReapBatch, Option<&Delivery>),
        spec: &RunSpec,
        mode: GuardMode,
        records: &Records,
    ) -> Result<AttemptOutcome, Failure> {
        // This check comes first: a worker that cannot write backups leaves the batch to one that can.
        let mut writer = BackupWriter::wanted(&self.context, spec, batch, mode)?;
        let client = self.clients.get(&batch.alias, spec.db).await?;
        same_deployment::verify_topology(spec, &client.topology())?;
        let mut attempt = BatchAttempt::new((batch, delivery), mode, spec.measure.freed_one_in);
        let mut routes = route(&client, batch);
        if routes.unserved.is_some() {
            client.refresh().await?;
            routes = route(&client, batch);
            attempt.failure = routes.unserved.map(|slot| unserved(batch, slot));
        }
        for (node, chunks) in routes.nodes {
            let at = (&node, chunks.as_slice());
            match self.act_at_node(&client, at, spec, records, (&mut attempt, writer.as_mut())).await {
                Ok(None) => {}
                Ok(Some(early)) => return Ok(AttemptOutcome::Early(early)),
                Err(Failure::Redis(fault)) => {
                    if !matches!(fault.kind, RedisErrorKind::WrongDeployment | RedisErrorKind::Moved) {
                        self.node_state(&batch.alias, &node).forget().await;
                    }
                    return Err(client.refresh_and_classify(&node, fault).await.into());
                }
                Err(failure) => return Err(failure),
            }
        }
        if attempt.failure.is_some()
            && let Err(fault) = client.refresh().await
        {
            tracing::debug!(error = %fault, "failed to refresh the topology; the next attempt retries");
        }
        Ok(AttemptOutcome::Done(Box::new(attempt.done())))
    }

    /// Acts on the chunks of one node. Returns `Some(ms)` if it is too early.
    async fn act_at_node(
        &self,
        client: &Arc<RedisClient>,
        (node, chunks): (&NodeId, &[Chunk<'_>]),
        spec: &RunSpec,
        records: &Records,
        (attempt, writer): (&mut BatchAttempt<'_>, Option<&mut BackupWriter<'_>>),
    ) -> Result<Option<u64>, Failure> {
        let (batch, mode) = (attempt.batch, attempt.mode);
        let node_state = self.node_state(&batch.alias, node);
        // The semaphore is never closed.
        let _permit = node_state.permits.acquire().await;
        let ready = node_state.ready(node, client, spec.delete_backend()).await?;
        same_deployment::verify_process(spec, node, &ready.process)?;
        let (now_ms, fields) = node::time_and_field_ttls(&ready.conn, spec.db).await?;
        if matches!(mode, GuardMode::Act(_)) {
            let (grace, address) = (Duration::from_millis(spec.rules.grace_ms), ready.conn.address());
            if let Some(early) = node_state.too_early(address, now_ms, batch.not_before_ms, grace) {
                return Ok(Some(early));
            }
            if same_deployment::counts_swaps(spec) {
                same_deployment::verify_swaps(spec, node, address, node::swaps(&ready.conn).await?)?;
            }
        }
        // The attempt is recorded only now: a batch whose nodes were never reachable counts as untried.
        let first = attempt.begin(records).await?;
        // Finalizing a batch changes no key and should not be delayed.
        let mut paced = match (mode, attempt.delivery) {
            (GuardMode::Act(_), Some(delivery)) => {
                BatchThrottle::enter(&self.context, spec, (client, node), (delivery, records)).await
            }
            _ => None,
        };
        let mut fingerprints = scanned(&ready, chunks, mode, spec);
        if let Some(writer) = writer {
            let lease = (records, attempt.delivery);
            let saved = writer.save(&ready.conn, (node, now_ms), chunks, paced.as_mut(), lease).await?;
            // `None`: the run was cancelled.
            let Some(saved) = saved else { return Ok(Some(0)) };
            self.context.failpoints.hit(FailPoint::BackupWritten).await;
            fingerprints = Some(saved);
        }
        if attempt.freed.measure(&ready, chunks, mode, paced.as_mut()).await?.is_none() {
            return Ok(Some(0));
        }
        let mut call = ScriptCall { ready: &ready, first, mode: with_fields(mode, fields) };
        let mut known = Instant::now();
        for chunk in chunks {
            // A throttled batch takes a while; the node may get its first hashes with field TTLs meanwhile.
            if known.elapsed() > FIELD_TTLS_KNOWN_FOR {
                call.mode = with_fields(mode, node::field_ttls(&ready.conn, spec.db).await?);
                known = Instant::now();
            }
            if let Some(early) =
                self.call_guard(&call, chunk, paced.as_mut(), (attempt, fingerprints.as_mut())).await?
            {
                return Ok(Some(early));
            }
            self.context.failpoints.hit(FailPoint::ScriptsRun).await;
        }
        if let Some(Fingerprints { stats, .. }) = fingerprints {
            attempt.saved.get_or_insert_default().add(stats);
        }
        attempt.pacing = paced.and_then(|paced| paced.stats());
        let done = done_in(chunks, &attempt.outcomes);
        attempt.unreplicated.extend(ready.unreplicated(node, done, first).await?);
        Ok(None)
    }

    /// Acts on the groups of one chunk, in pieces as large as the run's pace allows. Returns `Some(ms)` if it is too
    /// early or the run was cancelled; completed work is recorded in the ledgers.
    async fn call_guard(
        &self,
        call: &ScriptCall<'_>,
        mut left: &[(usize, &Group)],
        mut paced: Option<&mut BatchThrottle<'_>>,
        (attempt, mut fingerprints): (&mut BatchAttempt<'_>, Option<&mut Fingerprints>),
    ) -> Result<Option<u64>, Failure> {
        let (batch, ready) = (attempt.batch, call.ready);
        while !left.is_empty() {
            let keys_max = paced.as_deref().and_then(BatchThrottle::window_keys);
            let (groups, later) = left.split_at(piece(left, keys_max));
            let permit = match &mut paced {
                Some(paced) => match paced.acquire().await {
                    Some(permit) => Some(permit),
                    None => return Ok(Some(0)),
                },
                None => None,
            };
            let asked = Instant::now();
            let answers = match (fingerprints.as_deref_mut(), call.mode) {
                (Some(fingerprints), GuardMode::Act(act)) => {
                    backup_writer::call(fingerprints, ready, (batch, act), groups).await?
                }
                _ => {
                    let parts: Vec<Part<'_>> = groups.iter().map(Part::from).collect();
                    ready
                        .executor
                        .call(&ready.conn, (BatchWindow::from(batch), call.mode), &parts, false)
                        .await?
                }
            };
            self.context.telemetry.request(&batch.alias, RequestKind::Script, asked.elapsed());
            if let Some(permit) = permit {
                permit.done(groups.iter().map(|(_, group)| group.keys.len() as u64).sum());
            }
            for ((number, group), answer) in groups.iter().zip(answers) {
                let GuardReply { verdict, extra_lookups } = match answer {
                    Ok(answer) => answer,
                    // Only this group's slot is affected.
                    Err(fault) if fault.kind == RedisErrorKind::Moved => {
                        attempt.failure = Some(fault);
                        continue;
                    }
                    Err(fault) => return Err(fault.into()),
                };
                attempt.extra_lookups += extra_lookups;
                if let GuardVerdict::TooEarly(ms) = verdict {
                    return Ok(Some(ms));
                }
                attempt.outcomes[*number] =
                    outcomes(verdict, group.keys.len(), call.first, !ready.evicts).unwrap_or_default();
            }
            left = later;
        }
        Ok(None)
    }

    /// The outcomes of `batch` as its ledgers record them; a group without a ledger failed.
    async fn finalize(&self, batch: &ReapBatch, db: u32) -> Result<BatchResult, Failure> {
        let client = self.clients.get(&batch.alias, db).await?;
        let (mut all, mut unreplicated) = (vec![Vec::new(); batch.groups.len()], Vec::new());
        for (node, chunks) in route(&client, batch).nodes {
            let conn = client.conn(&node).await?;
            for chunk in &chunks {
                for ((number, group), verdict) in
                    chunk.iter().zip(guard::read_ledger(&conn, BatchWindow::from(batch), chunk).await?)
                {
                    let keys = group.keys.len();
                    let failed = || Some(vec![Outcome::Failed; keys]);
                    let outcomes =
                        verdict.map_or_else(failed, |verdict| outcomes(verdict, keys, false, true));
                    all[*number] = outcomes.unwrap_or_else(|| vec![Outcome::Unconfirmed; keys]);
                }
            }
            let slots = done_in(&chunks, &all);
            // A server that rejects writes may be a replica, or become one.
            unreplicated.extend((!slots.is_empty()).then(|| UnreplicatedWrites {
                node,
                replication_id: String::new(),
                slots,
            }));
        }
        Ok(BatchResult { outcomes: all, unreplicated, ..BatchResult::default() })
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

    async fn handle(&self, batch: &ReapBatch, delivery: &Delivery) -> Result<Disposition, Failure> {
        self.context.failpoints.hit(FailPoint::BatchReceived).await;
        self.reap(batch, delivery).await
    }

    /// Finalizes the batch: outcomes recorded in the ledgers count, all other candidates failed.
    async fn give_up(&self, batch: &ReapBatch, failure: &Failure) -> Result<(), Failure> {
        if let Failure::Refused(why) = failure {
            return self.end_failed(&batch.into(), why).await;
        }
        let records = self.context.records(batch.run);
        let Some(spec) = self.specs.get(batch.run).await? else { return Ok(()) };
        let (cause, tried) = (Some(failure.to_string()), records.attempted(batch.batch).await?);
        backup_writer::stop_if_impossible(failure, &records).await?;
        let finalized =
            match self.act((batch, None), &spec, GuardMode::Finalize(Outcome::Failed), &records).await {
                Ok(AttemptOutcome::Done(done)) => Some(done.filled(batch, tried)),
                // A server that answers but rejects writes can still report its ledgers.
                Err(Failure::Redis(fault)) if !fault.kind.is_transient() => {
                    self.finalize(batch, spec.db).await.ok().map(|done| done.filled(batch, tried))
                }
                _ => None,
            };
        let receipt = match finalized {
            Some(BatchResult { outcomes, unreplicated, .. }) => {
                let receipt = receipt(batch, outcomes, Act::of(&spec.rules).idle_ms.is_some(), None, cause);
                Receipt { unreplicated, ..receipt }
            }
            None => uniform(batch, records.end_untried(batch.batch).await?, cause),
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
