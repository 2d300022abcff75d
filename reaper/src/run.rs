//! The reaper's loop: one batch from the check that it counts to the stored receipt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::audit::{self, AuditEntry};
use shared::cluster::guard::{self, Act, GuardMode, GuardReply, GuardVerdict, Part};
use shared::cluster::{RedisClient, RedisErrorKind, node, same_deployment};
use shared::context::Context;
use shared::failpoint::FailPoint;
use shared::ids::{Alias, NodeId, RunId};
use shared::limits::FIELD_TTLS_KNOWN_FOR;
use shared::messages::{Group, ReapBatch, Reason, Receipt, RunSpec, UnreplicatedWrites};
use shared::outcome::Outcome;
use shared::queue::{Delivery, QueueError, Topic};
use shared::records::{RecordError, Records};
use shared::redis_clients::RedisClients;
use shared::spec_cache::SpecCache;
use shared::telemetry::RequestKind;
use shared::time::now_ms;
use shared::worker::{self, Disposition, Failure, Handler};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{AttemptOutcome, BatchAttempt, BatchResult, ScriptCall, asking, route, unserved};
use crate::backup_writer::{self, BackupWriter};
use crate::chunks::{Chunk, piece};
use crate::fingerprints::{Fingerprints, scanned};

use crate::node_session::NodeState;
use crate::receipt::{done_in, outcomes, receipt, uniform};
use crate::skipped_batches::{grant, pass_over, until_granted};
use crate::throttle::BatchThrottle;
use crate::validate_batch;

/// How long a batch whose grace is not over is put back at most: it is looked at again, however long the grace
/// is, so that a cancelled run ends soon.
pub(crate) const GRACE_WAIT_MAX: Duration = Duration::from_millis(500);

/// A reaper: as many of them as wanted may work side by side.
pub struct Reaper {
    pub(crate) context: Context,
    clients: RedisClients,
    pub(crate) specs: SpecCache,
    nodes: Mutex<BTreeMap<(Alias, NodeId), Arc<NodeState>>>,
    shutdown: CancellationToken,
}

impl Reaper {
    /// A reaper in `env`.
    #[must_use]
    pub fn new(context: Context, shutdown: CancellationToken) -> Self {
        let clients = RedisClients::new(&context);
        Self { specs: SpecCache::new(&context), clients, nodes: Mutex::default(), context, shutdown }
    }

    /// Works on batches, `at_once` at a time, until told to shut down.
    ///
    /// # Errors
    /// When the queue fails for good.
    pub async fn run(&self, at_once: usize) -> Result<(), QueueError> {
        tokio::select! {
            ended = worker::run(&self.context, self, at_once, self.shutdown.clone()) => ended,
            () = self.context.activities.sweep(&self.context) => Ok(()),
        }
    }

    fn at_node(&self, alias: &Alias, node: &NodeId) -> Arc<NodeState> {
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
        // A batch acts if the grant of its task lists it. Another attempt's batches do nothing.
        let Some(grant) = grant(&records, &spec, batch.task).await? else {
            let later = until_granted(batch, now_ms());
            return self.wait_for_grant(&batch.into(), &spec, &records, later).await;
        };
        let Some(listed) = grant.batch(batch.batch) else { return Ok(Disposition::Done) };
        if !listed.is_sent_as(&delivery.payload) {
            return Ok(pass_over(&batch.into()));
        }
        // Who is active is a large record: it is read for those batches that need it.
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
                let BatchResult {
                    outcomes,
                    pacing,
                    unreplicated: vouched,
                    extra_lookups: beyond,
                    saved,
                    freed,
                    failure: undone,
                } = *done;
                // The others are recorded in their ledgers.
                undone.map_or(Ok(()), Err)?;
                self.context.failpoints.hit(FailPoint::ReceiptPending).await;
                let too_large = || backup_writer::too_large(&spec, saved.as_ref());
                let cause = cancel.map(|cancel| cancel.cause).or_else(too_large);
                let mut receipt = receipt(batch, outcomes, act.idle_ms.is_some(), saved.as_ref(), cause);
                receipt.lookups += beyond;
                self.store(&spec, batch, &Receipt { pacing, unreplicated: vouched, freed, ..receipt })
                    .await?;
                self.context.failpoints.hit(FailPoint::ReceiptStored).await;
                Ok(Disposition::Done)
            }
        }
    }

    /// Stores what became of a batch: by name in the audit trail first, so that whatever counts stands there.
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
        // Before anything else: a worker that cannot save leaves the batch to those who can.
        let mut saving = BackupWriter::wanted(&self.context, spec, batch, mode)?;
        let client = self.clients.get(&batch.alias, spec.db).await?;
        same_deployment::verify_topology(spec, &client.topology())?;
        let mut acting = BatchAttempt::new((batch, delivery), mode, spec.measure.freed_one_in);
        let mut routes = route(&client, batch);
        if routes.unserved.is_some() {
            client.refresh().await?;
            routes = route(&client, batch);
            acting.failure = routes.unserved.map(|slot| unserved(batch, slot));
        }
        for (node, chunks) in routes.nodes {
            let at = (&node, chunks.as_slice());
            match self.act_at_node(&client, at, spec, records, (&mut acting, saving.as_mut())).await {
                Ok(None) => {}
                Ok(Some(early)) => return Ok(AttemptOutcome::Early(early)),
                Err(Failure::Redis(fault)) => {
                    if !matches!(fault.kind, RedisErrorKind::WrongDeployment | RedisErrorKind::Moved) {
                        self.at_node(&batch.alias, &node).forget().await;
                    }
                    return Err(client.refresh_and_classify(&node, fault).await.into());
                }
                Err(failure) => return Err(failure),
            }
        }
        if acting.failure.is_some()
            && let Err(fault) = client.refresh().await
        {
            tracing::debug!(error = %fault, "failed to ask who serves what; the next attempt asks again");
        }
        Ok(AttemptOutcome::Done(Box::new(acting.done())))
    }

    /// Acts on the chunks of one node. `Some(ms)` if it is too early.
    async fn act_at_node(
        &self,
        client: &Arc<RedisClient>,
        (node, chunks): (&NodeId, &[Chunk<'_>]),
        spec: &RunSpec,
        records: &Records,
        (acting, saving): (&mut BatchAttempt<'_>, Option<&mut BackupWriter<'_>>),
    ) -> Result<Option<u64>, Failure> {
        let (batch, mode) = (acting.batch, acting.mode);
        let at_node = self.at_node(&batch.alias, node);
        // The semaphore is never closed.
        let _permit = at_node.permits.acquire().await;
        let ready = at_node.ready(node, client, spec.delete_backend()).await?;
        same_deployment::verify_process(spec, node, &ready.process)?;
        let (now_ms, fields) = node::time_and_field_ttls(&ready.conn, spec.db).await?;
        if matches!(mode, GuardMode::Act(_)) {
            let (grace, address) = (Duration::from_millis(spec.rules.grace_ms), ready.conn.address());
            if let Some(early) = at_node.too_early(address, now_ms, batch.not_before_ms, grace) {
                return Ok(Some(early));
            }
            if same_deployment::counts_swaps(spec) {
                same_deployment::verify_swaps(spec, node, address, node::swaps(&ready.conn).await?)?;
            }
        }
        // Only now may something happen: a batch whose nodes could never be reached was never tried.
        let first = acting.begin(records).await?;
        // A batch that is sealed changes nothing, and is to end soon.
        let mut paced = match (mode, acting.delivery) {
            (GuardMode::Act(_), Some(delivery)) => {
                BatchThrottle::enter(&self.context, spec, (client, node), (delivery, records)).await
            }
            _ => None,
        };
        let mut seals = scanned(&ready, chunks, mode, spec);
        if let Some(saving) = saving {
            let heard = (records, acting.delivery);
            let saved = saving.save(&ready.conn, (node, now_ms), chunks, paced.as_mut(), heard).await?;
            // Without, the run is to stop.
            let Some(saved) = saved else { return Ok(Some(0)) };
            self.context.failpoints.hit(FailPoint::BackupWritten).await;
            seals = Some(saved);
        }
        if acting.freed.measure(&ready, chunks, mode, paced.as_mut()).await?.is_none() {
            return Ok(Some(0));
        }
        let mut call = ScriptCall { ready: &ready, first, mode: asking(mode, fields) };
        let mut known = Instant::now();
        for chunk in chunks {
            // A batch that is held back takes a while, and in the meantime there may be the first such hashes.
            if known.elapsed() > FIELD_TTLS_KNOWN_FOR {
                call.mode = asking(mode, node::field_ttls(&ready.conn, spec.db).await?);
                known = Instant::now();
            }
            if let Some(early) =
                self.call_guard(&call, chunk, paced.as_mut(), (acting, seals.as_mut())).await?
            {
                return Ok(Some(early));
            }
            self.context.failpoints.hit(FailPoint::ScriptsRun).await;
        }
        if let Some(Fingerprints { stats: told, .. }) = seals {
            acting.saved.get_or_insert_default().add(told);
        }
        acting.pacing = paced.and_then(|paced| paced.stats());
        let done = done_in(chunks, &acting.outcomes);
        acting.unreplicated.extend(ready.unreplicated(node, done, first).await?);
        Ok(None)
    }

    /// Acts on the groups of one chunk, in as many pieces as the pace of the run allows. `Some(ms)` if it is
    /// too early, or the run is to stop: what was done then stands in the ledgers.
    async fn call_guard(
        &self,
        call: &ScriptCall<'_>,
        mut left: &[(usize, &Group)],
        mut paced: Option<&mut BatchThrottle<'_>>,
        (acting, mut seals): (&mut BatchAttempt<'_>, Option<&mut Fingerprints>),
    ) -> Result<Option<u64>, Failure> {
        let (batch, ready) = (acting.batch, call.ready);
        while !left.is_empty() {
            let keys_max = paced.as_deref().and_then(BatchThrottle::window_keys);
            let (groups, later) = left.split_at(piece(left, keys_max));
            let turn = match &mut paced {
                Some(paced) => match paced.acquire().await {
                    Some(turn) => Some(turn),
                    None => return Ok(Some(0)),
                },
                None => None,
            };
            let asked = Instant::now();
            let answers = match (seals.as_deref_mut(), call.mode) {
                (Some(seals), GuardMode::Act(act)) => {
                    backup_writer::call(seals, ready, (batch, act), groups).await?
                }
                _ => {
                    let parts: Vec<Part<'_>> = groups.iter().map(Part::from).collect();
                    ready.means.call(&ready.conn, (batch.window(), call.mode), &parts, false).await?
                }
            };
            self.context.telemetry.request(&batch.alias, RequestKind::Script, asked.elapsed());
            if let Some(turn) = turn {
                turn.done(groups.iter().map(|(_, group)| group.keys.len() as u64).sum());
            }
            for ((number, group), answer) in groups.iter().zip(answers) {
                let GuardReply { verdict, extra_lookups: beyond } = match answer {
                    Ok(answer) => answer,
                    // Only its slot is concerned.
                    Err(fault) if fault.kind == RedisErrorKind::Moved => {
                        acting.failure = Some(fault);
                        continue;
                    }
                    Err(fault) => return Err(fault.into()),
                };
                acting.extra_lookups += beyond;
                if let GuardVerdict::TooEarly(ms) = verdict {
                    return Ok(Some(ms));
                }
                acting.outcomes[*number] =
                    outcomes(verdict, group.keys.len(), call.first, !ready.evicts).unwrap_or_default();
            }
            left = later;
        }
        Ok(None)
    }

    /// What came of `batch` as its ledgers record it; where there is none, it failed.
    async fn finalize(&self, batch: &ReapBatch, db: u32) -> Result<BatchResult, Failure> {
        let client = self.clients.get(&batch.alias, db).await?;
        let (mut all, mut vouched) = (vec![Vec::new(); batch.groups.len()], Vec::new());
        for (node, chunks) in route(&client, batch).nodes {
            let conn = client.conn(&node).await?;
            for chunk in &chunks {
                for ((number, group), verdict) in
                    chunk.iter().zip(guard::read_ledger(&conn, batch.window(), chunk).await?)
                {
                    let keys = group.keys.len();
                    let failed = || Some(vec![Outcome::Failed; keys]);
                    let outcomes =
                        verdict.map_or_else(failed, |verdict| outcomes(verdict, keys, false, true));
                    all[*number] = outcomes.unwrap_or_else(|| vec![Outcome::Unconfirmed; keys]);
                }
            }
            let slots = done_in(&chunks, &all);
            // A server that takes no writes may be a replica by now, or soon.
            vouched.extend((!slots.is_empty()).then(|| UnreplicatedWrites {
                node,
                replication_id: String::new(),
                slots,
            }));
        }
        Ok(BatchResult { outcomes: all, unreplicated: vouched, ..BatchResult::default() })
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

    /// Seals the batch: what is recorded in the ledgers counts, everything else failed.
    async fn give_up(&self, batch: &ReapBatch, failure: &Failure) -> Result<(), Failure> {
        if let Failure::Refused(why) = failure {
            return self.end_given_up(&batch.into(), why).await;
        }
        let records = self.context.records(batch.run);
        let Some(spec) = self.specs.get(batch.run).await? else { return Ok(()) };
        let (cause, tried) = (Some(failure.to_string()), records.attempted(batch.batch).await?);
        backup_writer::stop_if_impossible(failure, &records).await?;
        let sealed =
            match self.act((batch, None), &spec, GuardMode::Finalize(Outcome::Failed), &records).await {
                Ok(AttemptOutcome::Done(done)) => Some(done.filled(batch, tried)),
                // A server that answers, but takes no writes, still says what it has done.
                Err(Failure::Redis(fault)) if !fault.kind.is_transient() => {
                    self.finalize(batch, spec.db).await.ok().map(|done| done.filled(batch, tried))
                }
                _ => None,
            };
        let receipt = match sealed {
            Some(BatchResult { outcomes, unreplicated: vouched, .. }) => {
                let receipt = receipt(batch, outcomes, Act::of(&spec.rules).idle_ms.is_some(), None, cause);
                Receipt { unreplicated: vouched, ..receipt }
            }
            None => uniform(batch, records.end_untried(batch.batch).await?, cause),
        };
        match self.store(&spec, batch, &receipt).await {
            // The outcomes do not fit into a record.
            Err(RecordError::Wire { .. }) => self.end_given_up(&batch.into(), &failure.to_string()).await,
            stored => Ok(stored?),
        }
    }

    async fn undecodable(&self, payload: &[u8], reason: &str) -> Result<Disposition, Failure> {
        self.end_unreadable(payload, reason).await
    }
}
