//! Reading from a replica in place of its primary. It is read only when it has all that the primary had when the
//! reading began: so every key that existed at that moment, and to the end, is found there. What has happened at the
//! primary since is no harm, because nothing is deleted but by the primary, which checks every key again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::client::RedisClient;
use super::conn::Conn;
use super::connections::ConnectionUse;
use super::error::{RedisError, RedisErrorKind};
use super::info::Info;
use super::listing::ScanConnection;
use super::replication_info::{NotInSync, ReplicationInfo};
use super::reply::text;
use crate::config::duration;
use crate::ids::NodeId;
use crate::limits::{REPLICA_ANSWER, REPLICA_DOWN, REPLICA_POLL};
use crate::messages::ReadSource;

/// Our connections to replicas, and those that did not answer.
#[derive(Default)]
pub(super) struct ReplicaCache(Mutex<BTreeMap<NodeId, ReplicaAvailability>>);

enum ReplicaAvailability {
    Up(Conn, (String, u16)),
    /// Since when, and why.
    Down(Instant, String),
}

impl ReplicaCache {
    fn known(&self) -> MutexGuard<'_, BTreeMap<NodeId, ReplicaAvailability>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `node` is, if it is a replica that we are connected to.
    pub(super) fn address(&self, node: &NodeId) -> Option<(String, u16)> {
        match self.known().get(node)? {
            ReplicaAvailability::Up(_, address) => Some(address.clone()),
            ReplicaAvailability::Down(..) => None,
        }
    }
}

/// A replica that is read.
pub struct ReplicaReader {
    /// What it is called: its address.
    pub node: NodeId,
    /// The connection to it; in a cluster one that may read.
    pub conn: Conn,
    /// The replica's process (`run_id` of INFO): cursors belong to it.
    pub process: String,
    /// How far behind it was.
    pub source: ReadSource,
    cluster: bool,
    replication_id: String,
}

/// Which replica will do.
#[derive(Clone, Copy, Debug)]
pub enum ReplicaRequirement<'a> {
    /// One that has all that its primary has now, or within this time.
    Current(Duration),
    /// This process, where a pass of cursors was begun, which was current then. Others know nothing of its cursors.
    Process(&'a str),
}

/// Finds a replica of the primary `node`, behind `primary`, that may be read; the reason for people, if there is none.
///
/// # Errors
/// When the primary fails. A replica that does is not used.
pub async fn choose(
    client: &RedisClient,
    (node, primary): (&NodeId, &Conn),
    wanted: ReplicaRequirement<'_>,
) -> Result<Result<ReplicaReader, String>, RedisError> {
    let topology = client.topology();
    let now = account(primary).await?;
    if matches!(wanted, ReplicaRequirement::Process(process) if process == now.process) {
        return Ok(Err("the plan found none that could be read".to_owned()));
    }
    let there = match topology.primaries.iter().find(|known| known.node == *node) {
        Some(known) if topology.cluster => known.replicas.clone(),
        _ => now.followers.clone(),
    };
    let mut why_not = vec!["it has no replica in step".to_owned()];
    let (mut fit, mut silent) = (Vec::new(), None);
    for looked in join_all(there.iter().map(|at| look(client, at))).await {
        match looked {
            Ok((node, conn, said)) => {
                let lacks = now.offset.saturating_sub(said.offset);
                match said.is_caught_up_with(&now) {
                    Ok(()) | Err(NotInSync::Behind(_)) => fit.push((lacks, node, conn, said)),
                    // Whatever it lacks now, it had everything when the pass began.
                    Err(NotInSync::Useless(_))
                        if matches!(wanted, ReplicaRequirement::Process(_))
                            && said.replication_id == now.replication_id =>
                    {
                        fit.push((lacks, node, conn, said));
                    }
                    Err(NotInSync::Useless(why)) => {
                        why_not.push(format!("replica `{}` {why}", conn.address()));
                    }
                }
            }
            Err(why) => {
                silent = Some(why.clone());
                why_not.push(why);
            }
        }
    }
    if let ReplicaRequirement::Process(process) = wanted {
        fit.retain(|(.., said)| said.process == process);
        // It may be one that does not answer at the moment: a pass is not given up for that.
        if let (true, Some(why)) = (fit.is_empty(), silent) {
            return Err(RedisError::new(RedisErrorKind::Unavailable, primary.address(), why));
        }
    }
    let Some((lacks, node, conn, said)) = fit.into_iter().min_by_key(|(lacks, ..)| *lacks) else {
        return Ok(Err(why_not.pop().unwrap_or_default()));
    };
    let mut standing = ReplicaReader {
        node,
        process: said.process,
        source: ReadSource {
            replica: Some(conn.address().to_owned()),
            behind_bytes: lacks,
            silent_s: said.last_io_s,
            ..ReadSource::default()
        },
        conn,
        cluster: topology.cluster,
        replication_id: said.replication_id,
    };
    Ok(match wanted {
        ReplicaRequirement::Process(_) => Ok(standing),
        ReplicaRequirement::Current(lag_max) => standing.catch_up(&now, lag_max).await.map(|()| standing),
    })
}

impl ReplicaReader {
    /// Waits until the replica has what `primary` told; why not, if that takes longer than `lag_max`.
    async fn catch_up(&mut self, primary: &ReplicationInfo, lag_max: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let address = self.conn.address();
            let said = timeout(REPLICA_ANSWER, account(&self.conn)).await;
            let said = said.map_err(|_| format!("replica `{address}` does not answer"))?;
            let said = said.map_err(|fault| fault.to_string())?;
            match said.is_caught_up_with(primary) {
                Ok(()) => break,
                Err(NotInSync::Useless(why)) => return Err(format!("replica `{address}` {why}")),
                Err(NotInSync::Behind(bytes)) if began.elapsed() >= lag_max => {
                    let after = duration::show(lag_max);
                    return Err(format!("replica `{address}` is still {bytes} bytes behind after {after}"));
                }
                Err(NotInSync::Behind(_)) => sleep(REPLICA_POLL).await,
            }
        }
        self.source.waited_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The way to list its keys.
    #[must_use]
    pub fn lister(&self) -> ScanConnection {
        let lister = self.conn.lister();
        if self.cluster { lister.readonly() } else { lister }
    }

    /// Whether what was read since it was chosen is of one piece: the same process, with data of the same history
    /// as its primary's, which then only grows. A copy that it took over meanwhile shows as an error of each command.
    ///
    /// # Errors
    /// When it is not, or the replica fails.
    pub async fn check(&self, primary: &Conn) -> Result<(), RedisError> {
        let said = account(&self.conn).await?;
        // Another primary may never have had what this replica was given by the one before.
        let same = said.replication_id == self.replication_id
            && account(primary).await?.replication_id == self.replication_id;
        if said.process == self.process && same && !said.loading {
            return Ok(());
        }
        let why = "since it was first read, the replica was restarted or took over a copy, or it or its primary follow \
                   another history";
        Err(RedisError::new(RedisErrorKind::Unavailable, self.conn.address(), why))
    }
}

/// What the server behind `conn` says of its place.
async fn account(conn: &Conn) -> Result<ReplicationInfo, RedisError> {
    Ok(ReplicationInfo::of(&Info::parse(text(conn, "INFO", conn.info_text("INFO").await?)?)))
}

/// What the replica at `host` and `port` says of its place, and our connection to it; why there is none.
async fn look(
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
    let looked = timeout(REPLICA_ANSWER, async {
        let conn = match conn {
            Some(conn) => conn,
            None => client.connect_replica(host, *port, ConnectionUse::Commands).await?,
        };
        let said = account(&conn).await?;
        Ok::<_, RedisError>((conn, said))
    });
    let why = match looked.await {
        Ok(Ok((conn, said))) => {
            let known = ReplicaAvailability::Up(conn.clone(), (host.clone(), *port));
            client.replicas.known().insert(node.clone(), known);
            return Ok((node, conn, said));
        }
        Ok(Err(fault)) => format!("replica `{node}` cannot be read: {}", fault.detail),
        Err(_) => format!("replica `{node}` does not answer"),
    };
    client.replicas.known().insert(node, ReplicaAvailability::Down(Instant::now(), why.clone()));
    Err(why)
}
