//! The reaper's loop: one batch from the check that it counts to the stored receipt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::audit::{self, AuditEntry};
use shared::cluster::guard::{self, Act, Answer, Mode, Part, Verdict};
use shared::cluster::{Deployment, FaultKind, node, ours};
use shared::crash::CrashPoint;
use shared::deployments::Deployments;
use shared::env::Env;
use shared::ids::{Alias, BatchId, NodeId, RunId};
use shared::limits::{BACKUP_WRITE_BYTES, FIELD_TTLS_KNOWN_FOR};
use shared::messages::{Group, ReapBatch, Reason, Receipt, RunSpec, Verify, Vouched};
use shared::outcome::Outcome;
use shared::queue::{Delivery, QueueError, Topic};
use shared::records::{Attempt, RecordError, Records};
use shared::specs::Specs;
use shared::telemetry::Asked;
use shared::time::now_ms;
use shared::worker::{self, Disposition, Failure, Handler};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::acting::{Acted, Acting, Call, Done, asking, route, unserved};
use crate::allowed;
use crate::at_node::{AtNode, Ready};
use crate::chunks::{Chunk, piece};
use crate::paced::Paced;
use crate::receipt::{done_in, outcomes, receipt, uniform};
use crate::saving::{self, Saving};
use crate::seals::Seals;
use crate::unacted::{grant, pass_over, until_granted};

/// How long a batch whose grace is not over is put back at most: it is looked at again, however long the grace
/// is, so that a cancelled run ends soon.
pub(crate) const GRACE_WAIT_MAX: Duration = Duration::from_millis(500);

/// A reaper: as many of them as wanted may work side by side.
pub struct Reaper {
    pub(crate) env: Env,
    deployments: Deployments,
    pub(crate) specs: Specs,
    nodes: Mutex<BTreeMap<(Alias, NodeId), Arc<AtNode>>>,
    shutdown: CancellationToken,
}

impl Reaper {
    /// A reaper in `env`.
    #[must_use]
    pub fn new(env: Env, shutdown: CancellationToken) -> Self {
        let deployments = Deployments::new(&env);
        Self { specs: Specs::new(&env), deployments, nodes: Mutex::default(), env, shutdown }
    }

    /// Works on batches, `at_once` at a time, until told to shut down.
    ///
    /// # Errors
    /// When the queue fails for good.
    pub async fn run(&self, at_once: usize) -> Result<(), QueueError> {
        tokio::select! {
            ended = worker::run(&self.env, self, at_once, self.shutdown.clone()) => ended,
            () = self.env.activities.sweep(&self.env) => Ok(()),
        }
    }

    fn at_node(&self, alias: &Alias, node: &NodeId) -> Arc<AtNode> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nodes.entry((alias.clone(), node.clone())).or_default())
    }

    async fn reap(&self, batch: &ReapBatch, delivery: &Delivery) -> Result<Disposition, Failure> {
        let records = self.env.records(batch.run);
        let Some(spec) = self.specs.get(batch.run).await? else { return Ok(Disposition::Done) };
        if records.result().await?.is_some() {
            self.env.activities.forget(batch.run).await;
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
            true => self.env.activities.get(&records, &spec.rules).await?,
            false => None,
        };
        allowed::check(batch, &spec, &grant, activity.as_deref()).map_err(Failure::Refused)?;
        let cancel = records.cancel().await?;
        let act = Act::of(&spec.rules);
        let mode = if cancel.is_some() { Mode::Seal(Outcome::Unreached) } else { Mode::Act(act) };
        match self.act((batch, Some(delivery)), &spec, mode, &records).await? {
            Acted::Early(ms) => Ok(Disposition::Later(Duration::from_millis(ms).min(GRACE_WAIT_MAX))),
            Acted::Done(done) => {
                let Done { outcomes, pacing, vouched, beyond, saved, freed, undone } = *done;
                // The others are recorded in their ledgers.
                undone.map_or(Ok(()), Err)?;
                self.env.crash.pass(CrashPoint::ReceiptPending).await;
                let too_large = || saving::too_large(&spec, saved.as_ref());
                let cause = cancel.map(|cancel| cancel.cause).or_else(too_large);
                let mut receipt = receipt(batch, outcomes, act.idle_ms.is_some(), saved.as_ref(), cause);
                receipt.lookups += beyond;
                self.store(&spec, batch, &Receipt { pacing, vouched, freed, ..receipt }).await?;
                self.env.crash.pass(CrashPoint::ReceiptStored).await;
                Ok(Disposition::Done)
            }
        }
    }

    /// Stores what became of a batch: by name in the audit trail first, so that whatever counts stands there.
    async fn store(&self, spec: &RunSpec, batch: &ReapBatch, receipt: &Receipt) -> Result<(), RecordError> {
        saving::note(&self.env, spec, batch, receipt).await;
        if self.env.kept {
            audit::write(&*self.env.store, batch.run, &AuditEntry::of(batch, receipt, now_ms())).await?;
        }
        if self.env.records(batch.run).create_receipt(receipt).await? {
            self.env.telemetry.reaped(&spec.job, &spec.alias, receipt, batch.keys());
        }
        Ok(())
    }

    async fn act(
        &self,
        (batch, delivery): (&ReapBatch, Option<&Delivery>),
        spec: &RunSpec,
        mode: Mode,
        records: &Records,
    ) -> Result<Acted, Failure> {
        // Before anything else: a worker that cannot save leaves the batch to those who can.
        let mut saving = Saving::wanted(&self.env, spec, batch, mode)?;
        let deployment = self.deployments.get(&batch.alias, spec.db).await?;
        ours::check_topology(spec, &deployment.topology())?;
        let mut acting = Acting::new((batch, delivery), mode, spec.measure.freed_one_in);
        let mut routes = route(&deployment, batch);
        if routes.unserved.is_some() {
            deployment.refresh().await?;
            routes = route(&deployment, batch);
            acting.undone = routes.unserved.map(|slot| unserved(batch, slot));
        }
        for (node, chunks) in routes.nodes {
            let at = (&node, chunks.as_slice());
            match self.act_at(&deployment, at, spec, records, (&mut acting, saving.as_mut())).await {
                Ok(None) => {}
                Ok(Some(early)) => return Ok(Acted::Early(early)),
                Err(Failure::Redis(fault)) => {
                    if !matches!(fault.kind, FaultKind::Stranger | FaultKind::Moved) {
                        self.at_node(&batch.alias, &node).forget().await;
                    }
                    return Err(deployment.look_again(&node, fault).await.into());
                }
                Err(failure) => return Err(failure),
            }
        }
        if acting.undone.is_some()
            && let Err(fault) = deployment.refresh().await
        {
            tracing::debug!(error = %fault, "failed to ask who serves what; the next attempt asks again");
        }
        Ok(Acted::Done(Box::new(acting.done())))
    }

    /// Acts on the chunks of one node. `Some(ms)` if it is too early.
    async fn act_at(
        &self,
        deployment: &Arc<Deployment>,
        (node, chunks): (&NodeId, &[Chunk<'_>]),
        spec: &RunSpec,
        records: &Records,
        (acting, saving): (&mut Acting<'_>, Option<&mut Saving<'_>>),
    ) -> Result<Option<u64>, Failure> {
        let (batch, mode) = (acting.batch, acting.mode);
        let at_node = self.at_node(&batch.alias, node);
        // The semaphore is never closed.
        let _permit = at_node.permits.acquire().await;
        let ready = at_node.ready(node, deployment, spec.way()).await?;
        ours::check_process(spec, node, &ready.process)?;
        let (now_ms, fields) = node::time_and_field_ttls(&ready.conn, spec.db).await?;
        if matches!(mode, Mode::Act(_)) {
            let (grace, address) = (Duration::from_millis(spec.rules.grace_ms), ready.conn.address());
            if let Some(early) = at_node.early(address, now_ms, batch.not_before_ms, grace) {
                return Ok(Some(early));
            }
            if ours::counts_swaps(spec) {
                ours::check_swaps(spec, node, address, node::swaps(&ready.conn).await?)?;
            }
        }
        // Only now may something happen: a batch whose nodes could never be reached was never tried.
        let first = match acting.first {
            Some(first) => first,
            None => *acting.first.insert(first_attempt(records, batch.batch).await?),
        };
        // A batch that is sealed changes nothing, and is to end soon.
        let mut paced = match (mode, acting.delivery) {
            (Mode::Act(_), Some(delivery)) => {
                Paced::enter(&self.env, spec, (deployment, node), (delivery, records)).await
            }
            _ => None,
        };
        let mut seals = scanned(&ready, chunks, mode, spec);
        if let Some(saving) = saving {
            let heard = (records, acting.delivery);
            let saved = saving.save(&ready.conn, (node, now_ms), chunks, paced.as_mut(), heard).await?;
            // Without, the run is to stop.
            let Some(saved) = saved else { return Ok(Some(0)) };
            self.env.crash.pass(CrashPoint::BackupWritten).await;
            seals = Some(saved);
        }
        if acting.freed.measure(&ready, chunks, mode, paced.as_mut()).await?.is_none() {
            return Ok(Some(0));
        }
        let mut call = Call { ready: &ready, first, mode: asking(mode, fields) };
        let mut known = Instant::now();
        for chunk in chunks {
            // A batch that is held back takes a while, and in the meantime there may be the first such hashes.
            if known.elapsed() > FIELD_TTLS_KNOWN_FOR {
                call.mode = asking(mode, node::field_ttls(&ready.conn, spec.db).await?);
                known = Instant::now();
            }
            if let Some(early) = self.call(&call, chunk, paced.as_mut(), (acting, seals.as_mut())).await? {
                return Ok(Some(early));
            }
            self.env.crash.pass(CrashPoint::ScriptsRun).await;
        }
        if let Some(Seals { told, .. }) = seals {
            acting.saved.get_or_insert_default().add(told);
        }
        acting.pacing = paced.and_then(|paced| paced.tell());
        let done = done_in(chunks, &acting.outcomes);
        acting.vouched.extend(ready.vouch(node, done, first).await?);
        Ok(None)
    }

    /// Acts on the groups of one chunk, in as many pieces as the pace of the run allows. `Some(ms)` if it is
    /// too early, or the run is to stop: what was done then stands in the ledgers.
    async fn call(
        &self,
        call: &Call<'_>,
        mut left: &[(usize, &Group)],
        mut paced: Option<&mut Paced<'_>>,
        (acting, mut seals): (&mut Acting<'_>, Option<&mut Seals>),
    ) -> Result<Option<u64>, Failure> {
        let (batch, ready) = (acting.batch, call.ready);
        while !left.is_empty() {
            let keys_max = paced.as_deref().and_then(Paced::window_keys);
            let (groups, later) = left.split_at(piece(left, keys_max));
            let turn = match &mut paced {
                Some(paced) => match paced.turn().await {
                    Some(turn) => Some(turn),
                    None => return Ok(Some(0)),
                },
                None => None,
            };
            let asked = Instant::now();
            let answers = match (seals.as_deref_mut(), call.mode) {
                (Some(seals), Mode::Act(act)) => saving::call(seals, ready, (batch, act), groups).await?,
                _ => {
                    let parts: Vec<Part<'_>> = groups.iter().map(Part::from).collect();
                    ready.means.call(&ready.conn, (batch.window(), call.mode), &parts, false).await?
                }
            };
            self.env.telemetry.asked(&batch.alias, Asked::Script, asked.elapsed());
            if let Some(turn) = turn {
                turn.done(groups.iter().map(|(_, group)| group.keys.len() as u64).sum());
            }
            for ((number, group), answer) in groups.iter().zip(answers) {
                let Answer { verdict, beyond } = match answer {
                    Ok(answer) => answer,
                    // Only its slot is concerned.
                    Err(fault) if fault.kind == FaultKind::Moved => {
                        acting.undone = Some(fault);
                        continue;
                    }
                    Err(fault) => return Err(fault.into()),
                };
                acting.beyond += beyond;
                if let Verdict::Early(ms) = verdict {
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
    async fn recall(&self, batch: &ReapBatch, db: u32) -> Result<Done, Failure> {
        let deployment = self.deployments.get(&batch.alias, db).await?;
        let (mut all, mut vouched) = (vec![Vec::new(); batch.groups.len()], Vec::new());
        for (node, chunks) in route(&deployment, batch).nodes {
            let conn = deployment.conn(&node).await?;
            for chunk in &chunks {
                for ((number, group), verdict) in
                    chunk.iter().zip(guard::recall(&conn, batch.window(), chunk).await?)
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
            vouched.extend((!slots.is_empty()).then(|| Vouched { node, history: String::new(), slots }));
        }
        Ok(Done { outcomes: all, vouched, ..Done::default() })
    }
}

/// Notes that a batch is about to be tried; whether nobody did before.
async fn first_attempt(records: &Records, batch: BatchId) -> Result<bool, Failure> {
    match records.create_attempt(batch).await? {
        Attempt::First => Ok(true),
        Attempt::Again => Ok(false),
        Attempt::Ended => Err(Failure::Refused("the batch was ended before it was tried".to_owned())),
    }
}

/// What the scanner saw of the candidates of `chunks`, if the run compares values.
fn scanned(ready: &Ready, chunks: &[Chunk<'_>], mode: Mode, spec: &RunSpec) -> Option<Seals> {
    let compares = matches!(mode, Mode::Act(_)) && spec.rules.verify == Verify::Value;
    let bytes = ready.conn.value_bytes_at_once().min(BACKUP_WRITE_BYTES);
    compares.then(|| Seals::of_scan(chunks.iter().flatten(), bytes))
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
        self.env.crash.pass(CrashPoint::BatchTaken).await;
        self.reap(batch, delivery).await
    }

    /// Seals the batch: what is recorded in the ledgers counts, everything else failed.
    async fn give_up(&self, batch: &ReapBatch, failure: &Failure) -> Result<(), Failure> {
        if let Failure::Refused(why) = failure {
            return self.end_given_up(&batch.into(), why).await;
        }
        let records = self.env.records(batch.run);
        let Some(spec) = self.specs.get(batch.run).await? else { return Ok(()) };
        let (cause, tried) = (Some(failure.to_string()), records.attempted(batch.batch).await?);
        saving::stop_if_impossible(failure, &records).await?;
        let sealed = match self.act((batch, None), &spec, Mode::Seal(Outcome::Failed), &records).await {
            Ok(Acted::Done(done)) => Some(done.filled(batch, tried)),
            // A server that answers, but takes no writes, still says what it has done.
            Err(Failure::Redis(fault)) if !fault.kind.transient() => {
                self.recall(batch, spec.db).await.ok().map(|done| done.filled(batch, tried))
            }
            _ => None,
        };
        let receipt = match sealed {
            Some(Done { outcomes, vouched, .. }) => {
                let receipt = receipt(batch, outcomes, Act::of(&spec.rules).idle_ms.is_some(), None, cause);
                Receipt { vouched, ..receipt }
            }
            None => uniform(batch, records.end_untried(batch.batch).await?, cause),
        };
        match self.store(&spec, batch, &receipt).await {
            // The outcomes do not fit into a record.
            Err(RecordError::Wire { .. }) => self.end_given_up(&batch.into(), &failure.to_string()).await,
            stored => Ok(stored?),
        }
    }

    async fn unreadable(&self, payload: &[u8], reason: &str) -> Result<Disposition, Failure> {
        self.end_unreadable(payload, reason).await
    }
}
