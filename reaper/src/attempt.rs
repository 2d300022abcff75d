//! An attempt at a batch: it acts on the groups of the batch, node by node, and collects the result.

use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{Group, ReapBatch, RunSpec};
use keysweep_redis::guard::{GuardMode, GuardReply, GuardVerdict};
use keysweep_redis::{RedisClient, RedisError, RedisErrorKind, same_deployment};
use keysweep_runtime::context::Context;
use keysweep_runtime::failpoint::FailPoint;
use keysweep_runtime::redis_clients::RedisClients;
use keysweep_runtime::worker::Failure;
use keysweep_storage::queue::Delivery;
use keysweep_storage::records::{AttemptMark, Records};

use crate::backup_writer::BackupWriter;
use crate::chunks::{Chunk, Routes, by_node};
use crate::freed_memory::FreedMemory;
use crate::node_attempt::NodeAttempt;
use crate::node_session::NodeStates;
use crate::receipt::{BatchResult, done_in, outcomes};

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
    pub(crate) mode: GuardMode,
}

/// Why an attempt ends without a result. What it did is recorded in the ledgers.
pub(crate) enum Interruption {
    /// The batch should be tried again after this delay: it is too early, or the run was cancelled (no delay).
    Later(Duration),
    /// A step failed.
    Failed(Failure),
}

impl Interruption {
    /// The run was cancelled.
    pub(crate) const CANCELLED: Self = Self::Later(Duration::ZERO);
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
    /// Whether no earlier delivery was tried; set once this attempt is recorded.
    first: Option<bool>,
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
        same_deployment::verify_topology(of.spec, &client.topology())?;
        let freed = FreedMemory::new(of.spec.measure.freed_one_in);
        Ok(Self { of, client, nodes, writer, first: None, freed, result: BatchResult::of(of.batch) })
    }

    /// Acts on all groups. Those whose slots could not be reached have no outcomes in the result.
    pub(crate) async fn run(mut self) -> Result<BatchResult, Interruption> {
        let batch = self.of.batch;
        let mut routes = route(&self.client, batch);
        if routes.unserved.is_some() {
            self.client.refresh().await?;
            routes = route(&self.client, batch);
            self.result.failure = routes.unserved.map(|slot| unserved(batch, slot));
        }
        for (node, chunks) in &routes.nodes {
            if let Err(interruption) = self.act_at(node, chunks).await {
                return Err(self.classify(node, interruption).await);
            }
        }
        if self.result.failure.is_some()
            && let Err(fault) = self.client.refresh().await
        {
            tracing::debug!(error = %fault, "failed to refresh the topology; the next attempt retries");
        }
        let freed = self.freed.of_deleted(batch, &self.result.outcomes);
        let freed = Some(freed).filter(|freed| !freed.is_empty()).map(Box::new);
        Ok(BatchResult { freed, ..self.result })
    }

    /// Drops the session of a node that failed, and determines by the topology why it did.
    async fn classify(&self, node: &NodeId, interruption: Interruption) -> Interruption {
        let Interruption::Failed(Failure::Redis(fault)) = interruption else { return interruption };
        if !matches!(fault.kind, RedisErrorKind::WrongDeployment | RedisErrorKind::Moved) {
            self.nodes.get(&self.of.batch.alias, node).forget().await;
        }
        self.client.refresh_and_classify(node, fault).await.into()
    }

    /// Acts on the chunks of one node.
    async fn act_at(&mut self, node: &NodeId, chunks: &[Chunk<'_>]) -> Result<(), Interruption> {
        let state = self.nodes.get(&self.of.batch.alias, node);
        // The semaphore is never closed.
        let _permit = state.permits.acquire().await;
        let mut there = NodeAttempt::enter(self.of, &state, &self.client, node, chunks).await?;
        // The attempt is recorded only now: a batch whose nodes were never reachable counts as untried.
        let first = self.begin().await?;
        there.start(&self.client).await;
        if let Some(writer) = &mut self.writer {
            let saved = writer.save(&mut there).await?;
            there.fingerprints = Some(saved);
            self.of.context.failpoints.hit(FailPoint::BackupWritten).await;
        }
        self.freed.measure(&mut there).await?;
        for chunk in chunks {
            self.call_guard(&mut there, chunk, first).await?;
            self.of.context.failpoints.hit(FailPoint::ScriptsRun).await;
        }
        if let Some(fingerprints) = there.fingerprints {
            self.result.saved.get_or_insert_default().add(fingerprints.stats);
        }
        self.result.pacing = there.throttle.stats();
        let done = done_in(chunks, &self.result.outcomes);
        self.result.unreplicated.extend(there.guard.session.unreplicated(node, done, first).await?);
        Ok(())
    }

    /// Acts on the groups of one chunk, in pieces as large as the run's pace allows.
    async fn call_guard(
        &mut self,
        there: &mut NodeAttempt<'_, '_>,
        chunk: &[(usize, &Group)],
        first: bool,
    ) -> Result<(), Interruption> {
        there.refresh_field_ttls().await?;
        let mut left = chunk;
        while !left.is_empty() {
            let (piece, later) = left.split_at(there.piece(left));
            let replies = there.call(piece).await?;
            for ((number, group), reply) in piece.iter().zip(replies) {
                let GuardReply { verdict, extra_lookups } = match reply {
                    Ok(reply) => reply,
                    // Only this group's slot is affected.
                    Err(fault) if fault.kind == RedisErrorKind::Moved => {
                        self.result.failure = Some(fault);
                        continue;
                    }
                    Err(fault) => return Err(fault.into()),
                };
                self.result.extra_lookups += extra_lookups;
                if let GuardVerdict::TooEarly(ms) = verdict {
                    return Err(Interruption::Later(Duration::from_millis(ms)));
                }
                let keeps_ledgers = !there.guard.session.evicts;
                self.result.outcomes[*number] =
                    outcomes(verdict, group.keys.len(), first, keeps_ledgers).unwrap_or_default();
            }
            left = later;
        }
        Ok(())
    }

    /// Records the attempt, unless this was done before. Returns whether it is the first attempt at the batch.
    async fn begin(&mut self) -> Result<bool, Failure> {
        if let Some(first) = self.first {
            return Ok(first);
        }
        let first = match self.of.records.create_attempt(self.of.batch.batch).await? {
            AttemptMark::First => true,
            AttemptMark::Again => false,
            AttemptMark::Ended => {
                return Err(Failure::Refused("the batch ended before it was tried".to_owned()));
            }
        };
        Ok(*self.first.insert(first))
    }
}

/// The routes of `batch` by the topology of `client`.
pub(crate) fn route<'b>(client: &RedisClient, batch: &'b ReapBatch) -> Routes<'b> {
    let topology = client.topology();
    by_node(batch, |slot| topology.owner(slot).map(|primary| primary.node.clone()))
}

/// The error for a slot of `batch` that no node serves.
fn unserved(batch: &ReapBatch, slot: u16) -> RedisError {
    RedisError::new(RedisErrorKind::Moved, batch.alias.as_str(), format!("no node serves slot {slot}"))
}
