//! Writes keys back into Redis: each key to the node that serves its slot, with retries while slots move or servers
//! are unavailable.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use keysweep_backup::BackupEntry;
use keysweep_model::ids::NodeId;
use keysweep_model::slot::slot_of;
use keysweep_model::time::now_ms;
use keysweep_redis::restore::{self, RestoreEntry, Restored};
use keysweep_redis::{ConnectOptions, RedisClient, RedisError, RedisErrorKind, node, refused_version};
use tokio::time::sleep;

use super::summary::RestoreSummary;
use super::{RestoreError, RestoreRequest};
use crate::limits::{RESTORE_PAUSE, RESTORE_ROUNDS_MAX, RESTORE_WRITE_BYTES, RESTORE_WRITE_KEYS};

/// Keys that expire within so many milliseconds are not restored: they would expire on the way.
const EXPIRY_MARGIN_MS: u64 = 1_000;

/// The connections to the deployment to restore into.
pub(super) struct RestoreTarget {
    access: ConnectOptions,
    replace: bool,
    /// A connection per database.
    databases: BTreeMap<u32, RedisClient>,
    /// By how many milliseconds the server's clock is ahead of ours.
    ahead_ms: i64,
}

/// A key to restore, and whether its deletion is recorded.
type Back = (BackupEntry, bool);

impl RestoreTarget {
    /// Connects, and checks the permissions of our user on every node.
    pub(super) async fn connect(order: &RestoreRequest) -> Result<Self, RestoreError> {
        let client = RedisClient::discover(order.access.clone()).await?;
        let mut ahead_ms = 0;
        for primary in &client.topology().primaries {
            let conn = client.conn(&primary.node).await?;
            restore::check(&conn).await?;
            ahead_ms = node::time_ms(&conn).await?.cast_signed() - now_ms().cast_signed();
        }
        let databases = BTreeMap::from([(order.access.db, client)]);
        Ok(Self { access: order.access.clone(), replace: order.replace, databases, ahead_ms })
    }

    /// The server's time.
    pub(super) fn now_ms(&self) -> u64 {
        now_ms().saturating_add_signed(self.ahead_ms)
    }

    /// Restores `keys` into database `db`.
    ///
    /// # Errors
    /// When the server is unreachable for long; keys that were not restored are counted as `failed` then.
    pub(super) async fn put(
        &mut self,
        db: u32,
        keys: Vec<Back>,
        account: &mut RestoreSummary,
    ) -> Result<(), RedisError> {
        let replace = self.replace;
        let client = match self.database(db).await {
            Ok(deployment) => deployment,
            Err(fault) => return Err(record_failures(&keys, fault, account)),
        };
        let (mut left, mut last) = (keys, None);
        for attempt in 0..RESTORE_ROUNDS_MAX {
            if left.is_empty() {
                return Ok(());
            }
            if attempt > 0 {
                sleep(RESTORE_PAUSE).await;
                // If this fails, the next attempt meets the same error and refreshes again.
                let _ = client.refresh().await;
            }
            let nodes = by_node(client, left, &mut last);
            left = nodes.0;
            let putting = nodes.1.into_iter().map(|(node, keys)| put_at(client, node, keys, replace));
            for done in join_all(putting).await {
                left.extend(done.again);
                last = done.fault.or(last);
                account.restored += done.restored;
                account.unconfirmed += done.unconfirmed;
                account.existing += done.existing;
                account.expired += done.expired;
                done.failed.into_iter().for_each(|cause| account.fail(cause, 1));
            }
        }
        match last {
            Some(fault) if !left.is_empty() => Err(record_failures(&left, fault, account)),
            _ => Ok(()),
        }
    }

    async fn database(&mut self, db: u32) -> Result<&RedisClient, RedisError> {
        if !self.databases.contains_key(&db) {
            let access = ConnectOptions { db, ..self.access.clone() };
            self.databases.insert(db, RedisClient::discover(access).await?);
        }
        self.databases
            .get(&db)
            .ok_or_else(|| RedisError::new(RedisErrorKind::CommandError, "?", "no such database"))
    }
}

fn record_failures(keys: &[Back], fault: RedisError, account: &mut RestoreSummary) -> RedisError {
    account.fail(fault.to_string(), keys.len() as u64);
    fault
}

/// `keys` by the node that serves them, and the keys whose slot no node serves at the moment.
fn by_node(
    client: &RedisClient,
    keys: Vec<Back>,
    last: &mut Option<RedisError>,
) -> (Vec<Back>, BTreeMap<NodeId, Vec<Back>>) {
    let topology = client.topology();
    let (mut unserved, mut nodes) = (Vec::new(), BTreeMap::<NodeId, Vec<Back>>::new());
    for back in keys {
        let slot = slot_of(back.0.key.as_bytes());
        match topology.owner(slot) {
            Some(primary) => nodes.entry(primary.node.clone()).or_default().push(back),
            None => {
                *last =
                    Some(RedisError::new(RedisErrorKind::Moved, "?", format!("no node serves slot {slot}")));
                unserved.push(back);
            }
        }
    }
    (unserved, nodes)
}

/// The result of restoring keys at one node.
#[derive(Default)]
struct WriteResult {
    restored: u64,
    unconfirmed: u64,
    existing: u64,
    expired: u64,
    failed: Vec<String>,
    /// Keys to retry, and why.
    again: Vec<Back>,
    fault: Option<RedisError>,
}

async fn put_at(client: &RedisClient, node: NodeId, keys: Vec<Back>, replace: bool) -> WriteResult {
    let mut done = WriteResult::default();
    let mut keys = keys.into_iter().peekable();
    while keys.peek().is_some() {
        let (mut write, mut bytes) = (Vec::new(), 0);
        while let Some((entry, _)) = keys.peek() {
            let more = entry.key.len() + entry.value.len();
            if write.len() == RESTORE_WRITE_KEYS || !write.is_empty() && bytes + more > RESTORE_WRITE_BYTES {
                break;
            }
            bytes += more;
            write.extend(keys.next());
        }
        if let Err(fault) = put_once(client, &node, &mut write, replace, &mut done).await {
            client.forget(&node);
            if fault.kind.is_transient() {
                // The calls may have been executed: such keys are counted as existing then.
                done.again.extend(write.into_iter().chain(keys));
                done.fault = Some(fault);
                return done;
            }
            done.failed.extend(write.iter().map(|_| fault.to_string()));
        }
    }
    done
}

async fn put_once(
    client: &RedisClient,
    node: &NodeId,
    write: &mut Vec<Back>,
    replace: bool,
    done: &mut WriteResult,
) -> Result<(), RedisError> {
    let conn = client.conn(node).await?;
    // RESTORE with an expiry in the past removes the existing key, and creates nothing.
    let soon = node::time_ms(&conn).await? + EXPIRY_MARGIN_MS;
    let before = write.len();
    write.retain(|(entry, _)| entry.expires_at_ms.is_none_or(|at_ms| at_ms > soon));
    done.expired += (before - write.len()) as u64;
    if write.is_empty() {
        return Ok(());
    }
    let entries: Vec<_> = write.iter().map(|(entry, _)| restore_entry(entry)).collect();
    let answers = restore::restore(&conn, &entries, replace).await?;
    for ((entry, confirmed), answer) in std::mem::take(write).into_iter().zip(answers) {
        match answer {
            Ok(Restored::Done) => {
                done.restored += 1;
                done.unconfirmed += u64::from(!confirmed);
            }
            Ok(Restored::Existing) => done.existing += 1,
            Err(fault) if fault.kind.is_transient() => {
                done.again.push((entry, confirmed));
                done.fault = Some(fault);
            }
            Err(fault) => done.failed.push(why(&fault, &entry)),
        }
    }
    Ok(())
}

fn restore_entry(entry: &BackupEntry) -> RestoreEntry<'_> {
    RestoreEntry { key: &entry.key, value: &entry.value, expires_at_ms: entry.expires_at_ms }
}

/// Why a server refused `entry`, with the remedy.
fn why(fault: &RedisError, entry: &BackupEntry) -> String {
    match refused_version(&fault.detail, &entry.value) {
        Some(more) => format!("{fault}; {more}"),
        None => fault.to_string(),
    }
}
