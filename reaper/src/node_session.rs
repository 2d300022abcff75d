//! What a reaper keeps per node: permits, the session and the clock comparison.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_model::ids::{Alias, NodeId};
use keysweep_model::messages::{DeleteBackend, RunSpec, UnreplicatedWrites};
use keysweep_model::slot::SlotSet;
use keysweep_redis::guard::{Guard, GuardExecutor};
use keysweep_redis::{Conn, ConnectionUse, RedisClient, RedisError, node, replication, same_deployment};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::clock::{Clock, ClockJump};
use crate::limits::BATCHES_PER_NODE;

/// The states of all nodes that the reaper has acted on.
#[derive(Default)]
pub(crate) struct NodeStates(StdMutex<BTreeMap<(Alias, NodeId), Arc<NodeState>>>);

impl NodeStates {
    /// The state of one node.
    pub(crate) fn get(&self, alias: &Alias, node: &NodeId) -> Arc<NodeState> {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nodes.entry((alias.clone(), node.clone())).or_default())
    }
}

/// The state of one node.
pub(crate) struct NodeState {
    /// One permit per batch in progress at the node; dropping it admits the next one.
    pub(crate) permits: Semaphore,
    session: Mutex<Option<NodeSession>>,
    clock: StdMutex<Clock>,
}

/// A connection to a node that is prepared for the guard.
#[derive(Clone)]
pub(crate) struct NodeSession {
    /// For scripts, a connection that only reapers use, because WAIT blocks a whole connection. It ends with the
    /// server's process, so the facts below are valid as long as it answers.
    pub(crate) conn: Conn,
    /// The delete backend of the run.
    delete_backend: DeleteBackend,
    pub(crate) executor: GuardExecutor,
    /// The id of the server's process.
    pub(crate) process: String,
    /// The server's replication id when the connection was made.
    replication_id: String,
    /// How many replicas to wait for.
    replicas: Arc<AtomicU64>,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(BATCHES_PER_NODE),
            session: Mutex::default(),
            clock: StdMutex::default(),
        }
    }
}

impl NodeState {
    /// Returns the session for a run, connecting to the node and preparing it if needed. A known session of another process
    /// than the planned one is not used: the server may have been restarted since the last batch.
    ///
    /// # Errors
    /// When the node fails, or is not the planned one.
    pub(crate) async fn session(
        &self,
        spec: &RunSpec,
        node: &NodeId,
        client: &RedisClient,
    ) -> Result<NodeSession, RedisError> {
        let backend = spec.delete_backend();
        let verified = |session: &NodeSession| same_deployment::verify_process(spec, node, &session.process);
        let mut session = self.session.lock().await;
        let fits = |known: &&NodeSession| known.delete_backend == backend && verified(known).is_ok();
        if let Some(session) = session.as_ref().filter(fits) {
            return Ok(session.clone());
        }
        // `conn` fails fast for a node that has just failed, so that not every task tries it.
        let shared = client.conn(node).await?;
        let conn = match backend {
            DeleteBackend::Lua => client.connect_for(node, ConnectionUse::Acts).await?,
            // Transactions borrow their dedicated connections from the client, one at a time.
            DeleteBackend::Watch => shared,
        };
        let executor = GuardExecutor::prepare(&conn, backend, two_slots(client, node)).await?;
        let status = node::status(&conn, client.db()).await?;
        let replicas = Arc::new(AtomicU64::new(status.replicas));
        let (process, replication_id) = (status.process, status.replication_id);
        let made = NodeSession { conn, delete_backend: backend, executor, process, replication_id, replicas };
        verified(session.insert(made.clone()))?;
        Ok(made)
    }

    /// How many milliseconds a batch that may act from `not_before_ms` on still waits if the server at `address` shows
    /// `now_ms`: by the server's clock and, after a forward jump, for a whole `grace` by ours.
    pub(crate) fn too_early(
        &self,
        address: &str,
        now_ms: u64,
        not_before_ms: u64,
        grace: Duration,
    ) -> Option<u64> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match clock.observe(now_ms, now) {
            Some(ClockJump::Forward(by)) if !grace.is_zero() => tracing::warn!(
                "the clock of `{address}` jumped forward by {by:?}: its candidates wait for the whole grace again, \
                 measured by keysweep's clock"
            ),
            Some(ClockJump::Back(by)) => {
                tracing::warn!(
                    "the clock of `{address}` jumped back by {by:?}: its candidates wait that much longer"
                );
            }
            Some(ClockJump::Forward(_)) | None => {}
        }
        let ours = millis(clock.grace_left(grace, now));
        Some(ours.max(not_before_ms.saturating_sub(now_ms))).filter(|left| *left > 0)
    }

    /// Drops the session after a failure: the node may come back without the script.
    pub(crate) async fn forget(&self) {
        self.session.lock().await.take();
    }
}

/// Two slots that `node` serves; the same twice if it serves one. A standalone server serves any.
fn two_slots(client: &RedisClient, node: &NodeId) -> [u16; 2] {
    let topology = client.topology();
    let slots = topology.primaries.iter().find(|primary| primary.node == *node).map(|primary| &primary.slots);
    match slots.map(SlotSet::ranges) {
        Some([(first, last)]) => [*first, *last],
        Some([(first, _), .., (_, last)]) => [*first, *last],
        Some([]) | None => [0, 1],
    }
}

impl NodeSession {
    /// The writes in `slots` that are not replicated; `None` once all replicas have acknowledged them. `first`: all
    /// writes used this connection; WAIT does not cover writes of other connections.
    pub(crate) async fn unreplicated(
        &self,
        node: &NodeId,
        slots: SlotSet,
        first: bool,
    ) -> Result<Option<UnreplicatedWrites>, RedisError> {
        if slots.is_empty() {
            return Ok(None);
        }
        let replicas = self.replicas.load(Ordering::Relaxed);
        // Transactions use other connections, which WAIT on this one does not cover.
        if first && replicas > 0 && self.executor.writes_on_caller_conn() {
            if replication::wait(&self.conn, replicas).await? {
                return Ok(None);
            }
            // Lost replicas are not waited for again by every batch; the check at the end of the run covers them.
            let left = replication::connected(&self.conn).await?;
            self.replicas.store(left, Ordering::Relaxed);
        }
        Ok(Some(UnreplicatedWrites {
            node: node.clone(),
            replication_id: self.replication_id.clone(),
            slots,
        }))
    }
}
