//! What a reaper remembers of a node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use shared::cluster::guard::GuardExecutor;
use shared::cluster::{Conn, ConnectionUse, RedisClient, RedisError, node, replication};
use shared::ids::NodeId;
use shared::limits::BATCHES_PER_NODE;
use shared::messages::{DeleteBackend, UnreplicatedWrites};
use shared::slot::SlotSet;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::clock::{Clock, ClockJump};

/// See the module.
pub(crate) struct NodeState {
    /// One permit per batch at work there; dropping it lets the next one in.
    pub(crate) permits: Semaphore,
    ready: Mutex<Option<NodeSession>>,
    clock: StdMutex<Clock>,
}

/// A node that we are connected to, and that is ready to be acted at.
#[derive(Clone)]
pub(crate) struct NodeSession {
    /// For scripts, that of reapers alone, because waiting for replicas holds up a whole connection. It ends with the
    /// server's process, so what is known of that below stays true.
    pub(crate) conn: Conn,
    /// The way of the run.
    delete_backend: DeleteBackend,
    pub(crate) means: GuardExecutor,
    /// Whether the node evicts keys.
    pub(crate) evicts: bool,
    /// The server's process.
    pub(crate) process: String,
    /// The server's history when we connected.
    replication_id: String,
    /// Replicas that are worth waiting for.
    replicas: Arc<AtomicU64>,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(BATCHES_PER_NODE),
            ready: Mutex::default(),
            clock: StdMutex::default(),
        }
    }
}

impl NodeState {
    /// The node, connected to and made ready for `way`.
    pub(crate) async fn ready(
        &self,
        node: &NodeId,
        client: &RedisClient,
        way: DeleteBackend,
    ) -> Result<NodeSession, RedisError> {
        let mut ready = self.ready.lock().await;
        if let Some(ready) = ready.as_ref().filter(|ready| ready.delete_backend == way) {
            return Ok(ready.clone());
        }
        // A node that has just failed is not tried by everybody: this one knows.
        let shared = client.conn(node).await?;
        let conn = match way {
            DeleteBackend::Lua => client.connect_for(node, ConnectionUse::Acts).await?,
            // Transactions take the one for acts for themselves, each in its turn.
            DeleteBackend::Watch => shared,
        };
        let means = GuardExecutor::prepare(&conn, way).await?;
        let status = node::status(&conn, client.db()).await?;
        let replicas = Arc::new(AtomicU64::new(status.replicas));
        let (evicts, process, history) = (status.evicts, status.process, status.replication_id);
        Ok(ready
            .insert(NodeSession {
                conn,
                delete_backend: way,
                means,
                evicts,
                process,
                replication_id: history,
                replicas,
            })
            .clone())
    }

    /// How many milliseconds a batch that may act from `not_before_ms` on still waits, if the server at `address` shows
    /// `now_ms`: by its clock, and, where that was set forward, for a whole `grace` by ours.
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
                "the clock of `{address}` gained {by:?} on ours: candidates there wait for the whole grace again, by \
                 the clock of keysweep"
            ),
            Some(ClockJump::Back(by)) => {
                tracing::warn!(
                    "the clock of `{address}` fell behind ours by {by:?}: candidates there wait longer by that"
                );
            }
            Some(ClockJump::Forward(_)) | None => {}
        }
        let ours = u64::try_from(clock.grace_left(grace, now).as_millis()).unwrap_or(u64::MAX);
        Some(ours.max(not_before_ms.saturating_sub(now_ms))).filter(|left| *left > 0)
    }

    /// Forgets all of it, after a failure: the node may come back without the script.
    pub(crate) async fn forget(&self) {
        self.ready.lock().await.take();
    }
}

impl NodeSession {
    /// Who alone knows what was done in `slots`: nobody, once all replicas have it. `first` says that nothing of it
    /// was done over another connection, of which waiting on this one says nothing.
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
        // Transactions go over other connections, and waiting on this one says nothing of those.
        if first && replicas > 0 && self.delete_backend == DeleteBackend::Lua {
            if replication::wait(&self.conn, replicas).await? {
                return Ok(None);
            }
            // Those that have gone are not waited for by each batch; the end of the run looks again.
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
