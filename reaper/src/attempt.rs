//! An attempt at a batch: it acts on the candidates, node by node, and collects the result. First it goes through the
//! node ledgers, which fixes for all attempts what is decided with them. What they leave to the ledgers of slots follows.

use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{ReapBatch, RunSpec};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::SlotSet;
use keysweep_model::time::now_ms;
use keysweep_redis::guard::{Act, GuardMode, GuardReply, GuardVerdict};
use keysweep_redis::{RedisClient, RedisError, RedisErrorKind, Topology, same_deployment};
use keysweep_runtime::activity::Activity;
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoint;
use keysweep_runtime::redis_clients::RedisClients;
use keysweep_runtime::worker::Failure;
use keysweep_storage::queue::Delivery;
use keysweep_storage::records::{AttemptMark, Records};

use crate::backup_writer::BackupWriter;
use crate::freed_memory::FreedMemory;
use crate::node_attempt::NodeAttempt;
use crate::node_session::NodeStates;
use crate::receipt::{BatchResult, outcomes};
use crate::work::{Work, by_node, node_work, slot_work, without_node_ledger};

/// A batch, and what each step of an attempt at it needs.
#[derive(Clone, Copy)]
pub(crate) struct BatchContext<'a> {
    pub(crate) context: &'a Context,
    pub(crate) spec: &'a RunSpec,
    pub(crate) records: &'a Records,
    pub(crate) batch: &'a ReapBatch,
    /// The delivery of its message; `None` if the batch is being dead-lettered.
    pub(crate) delivery: Option<&'a Delivery>,
    /// What the guard should do.
    pub(crate) mode: GuardMode<'a>,
    /// Who is active, if the batch depends on it, and if it is known.
    pub(crate) activity: Option<&'a Activity>,
}

impl BatchContext<'_> {
    /// Whether idle times decide who is inactive.
    pub(crate) fn counts_idle(&self) -> bool {
        Act::of(&self.spec.rules, None).idle_ms.is_some()
    }
}

/// Why an attempt ends without a result. What it did is recorded in the ledgers.
pub(crate) enum Interruption {
    /// It is too early: the batch should be tried again after this delay.
    Later(Duration),
    /// The run was cancelled.
    Cancelled,
    /// A step failed.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Interruption {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An attempt at a batch.
pub(crate) struct BatchAttempt<'a> {
    of: BatchContext<'a>,
    client: Arc<RedisClient>,
    nodes: &'a NodeStates,
    writer: Option<BackupWriter<'a>>,
    /// The mark of this attempt, once it is recorded.
    mark: Option<AttemptMark>,
    /// Whether a call of this attempt may have done something.
    may_have_acted: bool,
    /// Memory measured before the deletion.
    freed: FreedMemory,
    result: BatchResult,
}

impl<'a> BatchAttempt<'a> {
    /// Prepares an attempt that uses the sessions of `nodes`.
    pub(crate) async fn new(
        of: BatchContext<'a>,
        clients: &RedisClients,
        nodes: &'a NodeStates,
    ) -> Result<Self, Failure> {
        // This check comes first: a worker that cannot write backups leaves the batch to one that can.
        let writer = BackupWriter::wanted(of)?;
        let client = clients.get(&of.batch.alias, of.spec.db).await?;
        if same_deployment::verify_topology(of.spec, &client.topology()).is_err() {
            // All nodes may have been replaced since this worker last asked.
            same_deployment::verify_topology(of.spec, &*client.refresh().await?)?;
        }
        let freed = FreedMemory::new(of.spec.measure.freed_one_in);
        let result = BatchResult { elsewhere: without_node_ledger(of.batch), ..BatchResult::of(of.batch) };
        Ok(Self { of, client, nodes, writer, mark: None, may_have_acted: false, freed, result })
    }

    /// Acts on all candidates. Those whose slots could not be reached have no outcomes in the result.
    pub(crate) async fn run(mut self) -> Result<BatchResult, Interruption> {
        let batch = self.of.batch;
        let acted = self.act().await;
        self.withdraw_if_nothing_was_done().await;
        acted?;
        if self.result.failure.is_some()
            && let Err(fault) = self.client.refresh().await
        {
            tracing::debug!(error = %fault, "failed to refresh the topology; the next attempt retries");
        }
        let freed = self.freed.of_deleted(batch, &self.result.outcomes);
        let freed = Some(freed).filter(|freed| !freed.is_empty()).map(Box::new);
        Ok(BatchResult { freed, ..self.result })
    }

    async fn act(&mut self) -> Result<(), Interruption> {
        let batch = self.of.batch;
        self.act_on(|_| node_work(batch)).await?;
        self.act_on(|result| slot_work(batch, &result.elsewhere)).await
    }

    /// Does `work` at the nodes that serve its ledgers.
    async fn act_on(&mut self, work: impl Fn(&BatchResult) -> Vec<Work<'a>>) -> Result<(), Interruption> {
        let batch = self.of.batch;
        let mut topology = self.client.topology();
        let mut routes = by_node(work(&self.result), |slot| owner(&topology, slot));
        if routes.unserved.is_some() {
            self.client.refresh().await?;
            topology = self.client.topology();
            routes = by_node(work(&self.result), |slot| owner(&topology, slot));
            if let Some(slot) = routes.unserved {
                self.result.failure = Some(unserved(batch, slot));
            }
        }
        for (node, work) in routes.nodes {
            if let Err(interruption) = self.act_at(&node, work).await {
                return Err(self.classify(&node, interruption).await);
            }
        }
        Ok(())
    }

    /// Drops the session of a node that failed, and determines by the topology why it did.
    async fn classify(&self, node: &NodeId, interruption: Interruption) -> Interruption {
        let Interruption::Failed(Failure::Redis(fault)) = interruption else { return interruption };
        if !matches!(fault.kind, RedisErrorKind::WrongDeployment | RedisErrorKind::Moved) {
            self.nodes.get(&self.of.batch.alias, node).forget().await;
        }
        self.client.refresh_and_classify(node, fault).await.into()
    }

    /// Does `work` at one node.
    async fn act_at(&mut self, node: &NodeId, work: Vec<Work<'a>>) -> Result<(), Interruption> {
        let state = self.nodes.get(&self.of.batch.alias, node);
        // The semaphore is never closed.
        let _permit = state.permits.acquire().await;
        let mut there = NodeAttempt::enter(self.of, &state, &self.client, node, work.into()).await?;
        there.start(&self.client).await;
        if let Some(writer) = &mut self.writer {
            let saved = writer.save(&mut there).await?;
            there.fingerprints = Some(saved);
            self.of.context.failpoints.hit(FailPoint::BackupWritten).await;
        }
        self.freed.measure(&mut there).await?;
        // The attempt is recorded only now: a batch that could not be read or saved is untried.
        let first = self.begin().await?;
        let changed = self.call_guard(&mut there, first).await;
        self.may_have_acted |= there.may_have_acted;
        let changed = changed?;
        if let Some(fingerprints) = there.fingerprints {
            self.result.saved.get_or_insert_default().add(fingerprints.stats);
        }
        self.result.pacing = there.throttle.stats();
        self.result.unreplicated.extend(there.guard.session.unreplicated(node, changed, first).await?);
        Ok(())
    }

    /// Calls the guard until nothing is left to do at a node. Returns the slots in which a key was changed.
    async fn call_guard(
        &mut self,
        there: &mut NodeAttempt<'a, '_>,
        first: bool,
    ) -> Result<SlotSet, Interruption> {
        let mut changed = SlotSet::new();
        loop {
            // A ledger that is not found may be lost: the server was flushed, evicted it, or lost it with its slot.
            match there.next_calls(!first).await {
                Ok(None) => return Ok(changed),
                Ok(Some((calls, replies))) => {
                    for (work, reply) in calls.iter().zip(replies) {
                        changed.extend(&self.record(there, work, reply, first)?);
                    }
                    self.of.context.failpoints.hit(FailPoint::ScriptsRun).await;
                }
                // This attempt knows what it did: what is left is sealed, and the next one need not doubt.
                Err(Interruption::Cancelled) => self.seal(there),
                Err(interruption) => return Err(interruption),
            }
        }
    }

    /// No key is changed any more: all that is left is unreached.
    fn seal(&mut self, there: &mut NodeAttempt<'a, '_>) {
        self.of.mode = GuardMode::Finalize(Outcome::Unreached);
        self.result.sealed = true;
        there.seal(self.of.mode);
    }

    /// Records the reply to a call. Returns the slots in which a key was changed.
    fn record(
        &mut self,
        there: &NodeAttempt<'_, '_>,
        work: &Work<'_>,
        reply: Result<GuardReply, RedisError>,
        first: bool,
    ) -> Result<SlotSet, Interruption> {
        let GuardReply { verdict, extra_lookups } = match reply {
            Ok(reply) => reply,
            // Only the slot of this ledger is affected. Its candidates wait until the ledger can be read again.
            Err(fault) if fault.kind == RedisErrorKind::Moved => {
                self.result.failure = Some(fault);
                return Ok(SlotSet::new());
            }
            Err(fault) => return Err(fault.into()),
        };
        if let GuardVerdict::TooEarly(ms) = verdict {
            return Err(Interruption::Later(Duration::from_millis(ms)));
        }
        self.result.lookups += extra_lookups;
        let known = outcomes(verdict, work.places.len(), first).unwrap_or_default();
        let fingerprints = there.fingerprints.as_ref();
        Ok(self.result.record(work, &known, self.of.counts_idle(), fingerprints))
    }

    /// Records the attempt, unless this was done before: in the audit trail first, so that no key is changed that is not
    /// named there. Returns whether it is the first attempt at the batch.
    async fn begin(&mut self) -> Result<bool, Failure> {
        if let Some(mark) = self.mark {
            return Ok(matches!(mark, AttemptMark::First { .. }));
        }
        if let (Some(audit), GuardMode::Act(_)) = (&self.of.context.audit, self.of.mode) {
            audit.begin(self.of.batch, now_ms()).await.map_err(Failure::Unrecorded)?;
        }
        let mark = self.of.records.create_attempt(self.of.batch.batch).await?;
        self.mark = Some(mark);
        match mark {
            AttemptMark::First { .. } => Ok(true),
            AttemptMark::Again => Ok(false),
            AttemptMark::Ended => Err(Failure::Refused("the batch ended before it was tried".to_owned())),
        }
    }

    /// Withdraws the mark of a first attempt whose calls were all refused before they did anything, so that the next one
    /// need not doubt.
    async fn withdraw_if_nothing_was_done(&self) {
        let Some(AttemptMark::First { revision }) = self.mark.filter(|_| !self.may_have_acted) else {
            return;
        };
        let batch = self.of.batch.batch;
        if let Err(e) = self.of.records.withdraw_attempt(batch, revision).await {
            tracing::debug!(%batch, error = %e, "the next attempt cannot know that this one did nothing");
        }
    }
}

/// The node that serves `slot`.
pub(crate) fn owner(topology: &Topology, slot: u16) -> Option<&NodeId> {
    topology.owner(slot).map(|primary| &primary.node)
}

/// The error for a slot of `batch` that no node serves.
fn unserved(batch: &ReapBatch, slot: u16) -> RedisError {
    RedisError::new(RedisErrorKind::Moved, batch.alias.as_str(), format!("no node serves slot {slot}"))
}
