//! Reads from a replica instead of its primary. A replica is read only once it has everything that the primary had when
//! the pass began: so every key that existed then, and until the end, is found there. Later changes at the primary do
//! no harm, because only the primary deletes, and checks every key again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use keysweep_model::duration;
use keysweep_model::ids::NodeId;
use keysweep_model::messages::ReadSource;
use tokio::time::{Instant, sleep, timeout};

use super::client::RedisClient;
use super::conn::Conn;
use super::connections::ConnectionUse;
use super::error::{RedisError, RedisErrorKind};
use super::info::Info;
use super::listing::ScanConnection;
use super::replication_info::{NotInSync, ReplicationInfo};
use super::reply::text;
use crate::limits::{REPLICA_ANSWER, REPLICA_DOWN, REPLICA_POLL};

/// Connections to replicas, and the replicas that did not answer.
#[derive(Default)]
pub(super) struct ReplicaCache(Mutex<BTreeMap<NodeId, ReplicaAvailability>>);

enum ReplicaAvailability {
    Up(Conn, (String, u16)),
    /// When it failed, and why.
    Down(Instant, String),
}

impl ReplicaCache {
    fn known(&self) -> MutexGuard<'_, BTreeMap<NodeId, ReplicaAvailability>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of `node`, if it is a replica with a connection.
    pub(super) fn address(&self, node: &NodeId) -> Option<(String, u16)> {
        match self.known().get(node)? {
            ReplicaAvailability::Up(_, address) => Some(address.clone()),
            ReplicaAvailability::Down(..) => None,
        }
    }
}

/// A replica that is read.
pub struct ReplicaReader {
    /// Its name: its address.
    pub node: NodeId,
    /// The connection to it; set to READONLY in a cluster.
    pub conn: Conn,
    /// The replica's process (`run_id` of INFO): cursors belong to it.
    pub process: String,
    /// Its lag when it was chosen.
    pub source: ReadSource,
    cluster: bool,
    replication_id: String,
}

/// Which replica is acceptable.
#[derive(Clone, Copy, Debug)]
pub enum ReplicaRequirement<'a> {
    /// One that has everything that its primary has now, or catches up within this time.
    Current(Duration),
    /// This process, in which a pass of cursors began, and which was current then. Its cursors are valid nowhere else.
    Process(&'a str),
}

/// Chooses a replica of the primary `node`, behind `primary`, that may be read; the reason for display, if there is
/// none.
///
/// # Errors
/// When the primary fails. A failing replica is only skipped.
pub async fn choose(
    client: &RedisClient,
    (node, primary): (&NodeId, &Conn),
    wanted: ReplicaRequirement<'_>,
) -> Result<Result<ReplicaReader, String>, RedisError> {
    let topology = client.topology();
    let now = replication_info(primary).await?;
    if matches!(wanted, ReplicaRequirement::Process(process) if process == now.process) {
        return Ok(Err("the plan found no readable replica".to_owned()));
    }
    let candidates = match topology.primaries.iter().find(|known| known.node == *node) {
        Some(known) if topology.cluster => known.replicas.clone(),
        _ => now.followers.clone(),
    };
    let mut reasons = vec!["it has no replica that is in sync".to_owned()];
    let (mut fit, mut silent) = (Vec::new(), None);
    for checked in join_all(candidates.iter().map(|at| check_replica(client, at))).await {
        match checked {
            Ok((node, conn, info)) => {
                let lacks = now.offset.saturating_sub(info.offset);
                match info.is_caught_up_with(&now) {
                    Ok(()) | Err(NotInSync::Behind(_)) => fit.push((lacks, node, conn, info)),
                    // Even if it lags now, it had everything when the pass began.
                    Err(NotInSync::Useless(_))
                        if matches!(wanted, ReplicaRequirement::Process(_))
                            && info.replication_id == now.replication_id =>
                    {
                        fit.push((lacks, node, conn, info));
                    }
                    Err(NotInSync::Useless(why)) => {
                        reasons.push(format!("replica `{}` {why}", conn.address()));
                    }
                }
            }
            Err(why) => {
                silent = Some(why.clone());
                reasons.push(why);
            }
        }
    }
    if let ReplicaRequirement::Process(process) = wanted {
        fit.retain(|(.., info)| info.process == process);
        // It may be a replica that does not answer at the moment: the pass is not abandoned for that.
        if let (true, Some(why)) = (fit.is_empty(), silent) {
            return Err(RedisError::new(RedisErrorKind::Unavailable, primary.address(), why));
        }
    }
    let Some((lacks, node, conn, info)) = fit.into_iter().min_by_key(|(lacks, ..)| *lacks) else {
        return Ok(Err(reasons.pop().unwrap_or_default()));
    };
    let mut reader = ReplicaReader {
        node,
        process: info.process,
        source: ReadSource {
            replica: Some(conn.address().to_owned()),
            behind_bytes: lacks,
            silent_s: info.last_io_s,
            ..ReadSource::default()
        },
        conn,
        cluster: topology.cluster,
        replication_id: info.replication_id,
    };
    Ok(match wanted {
        ReplicaRequirement::Process(_) => Ok(reader),
        ReplicaRequirement::Current(lag_max) => reader.catch_up(&now, lag_max).await.map(|()| reader),
    })
}

impl ReplicaReader {
    /// Waits until the replica has what `primary` reported; the reason, if that takes longer than `lag_max`.
    async fn catch_up(&mut self, primary: &ReplicationInfo, lag_max: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let address = self.conn.address();
            let info = timeout(REPLICA_ANSWER, replication_info(&self.conn)).await;
            let info = info.map_err(|_| format!("replica `{address}` does not answer"))?;
            let info = info.map_err(|fault| fault.to_string())?;
            match info.is_caught_up_with(primary) {
                Ok(()) => break,
                Err(NotInSync::Useless(why)) => return Err(format!("replica `{address}` {why}")),
                Err(NotInSync::Behind(bytes)) if began.elapsed() >= lag_max => {
                    let after = duration::show(lag_max);
                    return Err(format!("replica `{address}` is still {bytes} bytes behind after {after}"));
                }
                Err(NotInSync::Behind(_)) => sleep(REPLICA_POLL).await,
            }
        }
        self.source.waited_ms = duration::millis(began.elapsed());
        Ok(())
    }

    /// A handle to list its keys.
    #[must_use]
    pub fn lister(&self) -> ScanConnection {
        let lister = self.conn.lister();
        if self.cluster { lister.readonly() } else { lister }
    }

    /// Checks that everything read since it was chosen is consistent: the same process, and data with the same
    /// replication id as its primary's, which then only grows. A full resync in between shows as an error of each
    /// command.
    ///
    /// # Errors
    /// When it is not, or the replica fails.
    pub async fn check(&self, primary: &Conn) -> Result<(), RedisError> {
        let info = replication_info(&self.conn).await?;
        // Another primary may never have had what this replica received from the previous one.
        let same = info.replication_id == self.replication_id
            && replication_info(primary).await?.replication_id == self.replication_id;
        if info.process == self.process && same && !info.loading {
            return Ok(());
        }
        let why = "since it was first read, the replica was restarted or was resynchronized, or it or its primary follow \
                   another history";
        Err(RedisError::new(RedisErrorKind::Unavailable, self.conn.address(), why))
    }
}

/// The replication state of the server behind `conn`.
async fn replication_info(conn: &Conn) -> Result<ReplicationInfo, RedisError> {
    Ok(ReplicationInfo::of(&Info::parse(text(conn, "INFO", conn.info_text("INFO").await?)?)))
}

/// The replication state of the replica at `host` and `port`, and a connection to it; the reason, if it fails.
async fn check_replica(
    client: &RedisClient,
    (host, port): &(String, u16),
) -> Result<(NodeId, Conn, ReplicationInfo), String> {
    let node = NodeId::new(format!("{host}:{port}"));
    let conn = match client.replicas.known().get(&node) {
        Some(ReplicaAvailability::Up(conn, _)) => Some(conn.clone()),
        Some(ReplicaAvailability::Down(since, why)) if since.elapsed() < REPLICA_DOWN => {
            return Err(why.clone());
        }
        _ => None,
    };
    let checked = timeout(REPLICA_ANSWER, async {
        let conn = match conn {
            Some(conn) => conn,
            None => client.connect_replica(host, *port, ConnectionUse::Commands).await?,
        };
        let info = replication_info(&conn).await?;
        Ok::<_, RedisError>((conn, info))
    });
    let why = match checked.await {
        Ok(Ok((conn, info))) => {
            let known = ReplicaAvailability::Up(conn.clone(), (host.clone(), *port));
            client.replicas.known().insert(node.clone(), known);
            return Ok((node, conn, info));
        }
        Ok(Err(fault)) => format!("replica `{node}` cannot be read: {}", fault.detail),
        Err(_) => format!("replica `{node}` does not answer"),
    };
    client.replicas.known().insert(node, ReplicaAvailability::Down(Instant::now(), why.clone()));
    Err(why)
}
