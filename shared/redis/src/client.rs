//! One client for a standalone server, a Sentinel deployment or a cluster: the topology, and a connection to each node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keysweep_model::ids::NodeId;
use tokio::time::{Instant, timeout};

use super::conn::Conn;
use super::connect_options::ConnectOptions;
use super::connections::ConnectionUse;
use super::error::{RedisError, RedisErrorKind};
use super::node::{self, NodeStatus};
use super::pool::Pool;
use super::replica::ReplicaCache;
use super::topology::{Primary, Topology, cluster_topology, host_and_port, standalone, standalone_node};
use crate::limits::{ASK_ALL_TIMEOUT, ASK_TIMEOUT, DOWN_TIME};

/// A Redis deployment and this process's connections to it. Each worker has its own client; connections are shared.
pub struct RedisClient {
    access: ConnectOptions,
    state: Mutex<ClientState>,
    pub(super) replicas: ReplicaCache,
}

struct ClientState {
    topology: Arc<Topology>,
    conns: Pool,
    /// Unreachable nodes, with the time and the error of the failed attempt. They are not retried for a while, so that
    /// many messages for a dead node do not each wait for a timeout.
    down: BTreeMap<NodeId, (Instant, RedisError)>,
}

impl RedisClient {
    /// Discovers the topology from the first seed that answers.
    pub async fn discover(access: ConnectOptions) -> Result<Self, RedisError> {
        let (topology, conns) = Box::pin(explore(&access)).await?;
        let state = ClientState { topology: Arc::new(topology), conns, down: BTreeMap::new() };
        Ok(Self { access, state: Mutex::new(state), replicas: ReplicaCache::default() })
    }

    fn state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last known topology.
    #[must_use]
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.state().topology)
    }

    /// The logical database.
    #[must_use]
    pub fn db(&self) -> u32 {
        self.access.db
    }

    /// Queries the topology again; with Sentinels, the current primary. If the primary is another server now,
    /// connections to the previous one are dropped even if it still answers as a replica, and [`RedisClient::conn`]
    /// connects to the new one. The node keeps its name, but it is another process with its own cursors, counters and
    /// ledgers.
    pub async fn refresh(&self) -> Result<Arc<Topology>, RedisError> {
        let topology = Box::pin(self.refresh_topology(None)).await?;
        let mut state = self.state();
        if !topology.cluster && *state.topology != topology {
            state.conns.clear();
            state.down.clear();
        }
        state.topology = Arc::new(topology);
        Ok(Arc::clone(&state.topology))
    }

    /// Refreshes the topology and classifies `fault` at `node`: if other nodes serve its slots now, after a failover or
    /// a resharding, the failure is a redirection. Everything cached about the node is queried again.
    pub async fn refresh_and_classify(&self, node: &NodeId, fault: RedisError) -> RedisError {
        let redirected = fault.kind == RedisErrorKind::Moved;
        let gone = matches!(
            fault.kind,
            RedisErrorKind::ConnectionLost | RedisErrorKind::ReplyCutOff | RedisErrorKind::Unreachable
        );
        if gone {
            self.forget(node);
        }
        let known = self.topology();
        if !(redirected || known.cluster && (gone || fault.kind == RedisErrorKind::Unavailable)) {
            return fault;
        }
        // A node that does not answer, or is partitioned from the others, is not queried for the topology.
        let failed = known.primaries.iter().find(|primary| primary.node == *node).filter(|_| !redirected);
        // If no node answers, the next attempt gets the same failure and refreshes again.
        let Ok(topology) = Box::pin(self.refresh_topology(failed)).await else { return fault };
        let serves = topology.primaries.iter().any(|primary| primary.node == *node);
        self.state().topology = Arc::new(topology);
        if serves || redirected { fault } else { RedisError { kind: RedisErrorKind::Moved, ..fault } }
    }

    /// The topology from the first seed that answers, or else from a primary of the last known topology: the seeds may
    /// be gone while the other nodes still know each other. `failed` is queried last.
    async fn refresh_topology(&self, failed: Option<&Primary>) -> Result<Topology, RedisError> {
        let known = self.topology();
        let is_failed = |host: &str, port: u16| failed.is_some_and(|it| it.host == host && it.port == port);
        let mut last = RedisError::new(RedisErrorKind::Unreachable, "?", "no address given");
        let (mut first, mut later) = (Vec::new(), Vec::new());
        for url in &self.access.urls {
            let (host, port) = self.access.host_and_port(url);
            if is_failed(&host, port) { later.push(url) } else { first.push(url) }
        }
        for url in first {
            match within(explore_seed(&self.access, url, Some(ASK_TIMEOUT))).await {
                Ok((topology, _)) => return Ok(topology),
                Err(fault) => last = fault,
            }
        }
        let until = Instant::now() + ASK_ALL_TIMEOUT;
        for primary in known.primaries.iter().filter(|primary| known.cluster && failed != Some(*primary)) {
            if Instant::now() >= until {
                break;
            }
            let reply = async {
                let conn =
                    self.access.connect_node(&primary.host, primary.port, ConnectionUse::Commands).await?;
                reply_within(&conn, ASK_TIMEOUT, cluster_topology(&conn, &primary.host)).await
            };
            if let Ok(topology) = within(reply).await {
                return Ok(topology);
            }
        }
        for url in later {
            match within(explore_seed(&self.access, url, Some(ASK_TIMEOUT))).await {
                Ok((topology, _)) => return Ok(topology),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// A connection to `node`.
    pub async fn conn(&self, node: &NodeId) -> Result<Conn, RedisError> {
        let primary = {
            let mut state = self.state();
            // A connection that was closed because of an oversized reply is of no use.
            if let Some(conn) = state.conns.get(node).filter(Conn::is_open) {
                return Ok(conn);
            }
            if let Some((since, fault)) = state.down.get(node)
                && since.elapsed() < DOWN_TIME
            {
                return Err(fault.clone());
            }
            state.topology.primaries.iter().find(|primary| primary.node == *node).cloned()
        };
        let gone = || {
            RedisError::new(
                RedisErrorKind::Moved,
                node.as_str(),
                "it is no longer a primary of this deployment",
            )
        };
        let primary = primary.ok_or_else(gone)?;
        let by_sentinels = !self.topology().cluster && self.access.uses_sentinels();
        let connected = match by_sentinels {
            true => self.connect_for(node, ConnectionUse::Commands).await,
            false => self.access.connect_node(&primary.host, primary.port, ConnectionUse::Commands).await,
        };
        let mut state = self.state();
        match connected {
            Ok(conn) => {
                if by_sentinels {
                    state.topology = Arc::new(standalone(&conn));
                }
                state.down.remove(node);
                state.conns.insert(node.clone(), conn.clone());
                Ok(conn)
            }
            Err(fault) => {
                state.down.insert(node.clone(), (Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// A connection to a replica. In a cluster it is set to READONLY, so that the replica serves reads.
    pub(super) async fn connect_replica(
        &self,
        host: &str,
        port: u16,
        to: ConnectionUse,
    ) -> Result<Conn, RedisError> {
        let conn = self.access.connect_node(host, port, to).await?;
        if self.topology().cluster {
            conn.info_text("READONLY").await?;
        }
        Ok(conn)
    }

    /// This process's connection to `node`, a primary or a replica, for one of its uses.
    pub async fn connect_for(&self, node: &NodeId, to: ConnectionUse) -> Result<Conn, RedisError> {
        if let Some((host, port)) = self.replicas.address(node) {
            return self.connect_replica(&host, port, to).await;
        }
        let topology = self.topology();
        if !topology.cluster {
            let mut last = RedisError::new(RedisErrorKind::Unreachable, node.as_str(), "no address given");
            for url in &self.access.urls {
                match self.access.connect_seed(url, to).await {
                    Ok(conn) => return Ok(conn),
                    Err(fault) => last = fault,
                }
            }
            return Err(last);
        }
        let gone = || {
            RedisError::new(
                RedisErrorKind::Moved,
                node.as_str(),
                "it is no longer a primary of this deployment",
            )
        };
        let primary = topology.primaries.iter().find(|primary| primary.node == *node).ok_or_else(gone)?;
        self.access.connect_node(&primary.host, primary.port, to).await
    }

    /// Removes the connection to `node` after it failed; the next use makes a new one.
    pub fn forget(&self, node: &NodeId) {
        self.state().conns.remove(node);
    }

    /// The status of `node`.
    pub async fn status(&self, node: &NodeId) -> Result<NodeStatus, RedisError> {
        node::status(&self.conn(node).await?, self.access.db).await
    }
}

/// Limits one server's reply to [`ASK_TIMEOUT`], because other servers can answer instead.
async fn within<T>(reply: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    let slow =
        || RedisError::new(RedisErrorKind::Unreachable, "?", format!("no answer within {ASK_TIMEOUT:?}"));
    timeout(ASK_TIMEOUT, reply).await.unwrap_or_else(|_| Err(slow()))
}

/// Awaits a reply over `conn`, up to `limit`. On a timeout the connection is discarded and no longer shared.
async fn reply_within<T>(
    conn: &Conn,
    limit: Duration,
    reply: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    timeout(limit, reply).await.unwrap_or_else(|_| {
        conn.discard();
        Err(RedisError::new(
            RedisErrorKind::Unreachable,
            conn.address(),
            format!("no answer within {limit:?}"),
        ))
    })
}

async fn explore(access: &ConnectOptions) -> Result<(Topology, Pool), RedisError> {
    let mut last = RedisError::new(RedisErrorKind::Unreachable, "?", "no address given");
    for url in &access.urls {
        match explore_seed(access, url, None).await {
            Ok(found) => return Ok(found),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// The topology as the seed `url` reports it, within `limit` if there is one.
async fn explore_seed(
    access: &ConnectOptions,
    url: &str,
    limit: Option<Duration>,
) -> Result<(Topology, Pool), RedisError> {
    // The topology is the same in every database, and cluster nodes may have only database 0.
    let seed = ConnectOptions { db: 0, ..access.clone() }.connect_seed(url, ConnectionUse::Commands).await?;
    let reply = async {
        let cluster = node::status(&seed, 0).await?.cluster;
        Ok(if cluster { Some(cluster_topology(&seed, host_and_port(&seed).0).await?) } else { None })
    };
    if let Some(topology) = reply_within(&seed, limit.unwrap_or(Duration::MAX), reply).await? {
        return Ok((topology, Pool::new()));
    }
    let conn = access.connect_seed(url, ConnectionUse::Commands).await?;
    let (topology, mut conns) = (standalone(&conn), Pool::new());
    conns.insert(standalone_node(), conn);
    Ok((topology, conns))
}
