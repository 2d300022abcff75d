//! The way back into Redis: each key to the node that serves its slot, again and again while slots move or servers are
//! not ready.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use shared::backup::{Entry, refused_version};
use shared::cluster::restore::{self, Restored};
use shared::cluster::{Access, Deployment, Fault, FaultKind, node};
use shared::ids::NodeId;
use shared::limits::{RESTORE_PAUSE, RESTORE_ROUNDS_MAX, RESTORE_WRITE_BYTES, RESTORE_WRITE_KEYS};
use shared::slot::slot_of;
use shared::time::now_ms;
use tokio::time::sleep;

use super::account::Account;
use super::{RestoreError, RestoreOrder};

/// Keys that expire within so many milliseconds are not put back any more: they would have expired on their way.
const EXPIRY_MARGIN_MS: u64 = 1_000;

/// Where keys are put back.
pub(super) struct Target {
    access: Access,
    replace: bool,
    /// A connection per database.
    databases: BTreeMap<u32, Deployment>,
    /// By how many milliseconds the server's clock is ahead of ours.
    ahead_ms: i64,
}

/// A key on its way, and whether it is sure that we deleted it.
type Back = (Entry, bool);

impl Target {
    /// Connects, and checks that our user may do it everywhere.
    pub(super) async fn connect(order: &RestoreOrder) -> Result<Self, RestoreError> {
        let deployment = Deployment::discover(order.access.clone()).await?;
        let mut ahead_ms = 0;
        for primary in &deployment.topology().primaries {
            let conn = deployment.conn(&primary.node).await?;
            restore::check(&conn).await?;
            ahead_ms = node::time_ms(&conn).await?.cast_signed() - now_ms().cast_signed();
        }
        let databases = BTreeMap::from([(order.access.db, deployment)]);
        Ok(Self { access: order.access.clone(), replace: order.replace, databases, ahead_ms })
    }

    /// The server's clock.
    pub(super) fn now_ms(&self) -> u64 {
        now_ms().saturating_add_signed(self.ahead_ms)
    }

    /// Puts `keys` back into database `db`.
    ///
    /// # Errors
    /// When the server is gone for long; what was not put back is not in the account then but as `failed`.
    pub(super) async fn put(&mut self, db: u32, keys: Vec<Back>, account: &mut Account) -> Result<(), Fault> {
        let replace = self.replace;
        let deployment = match self.database(db).await {
            Ok(deployment) => deployment,
            Err(fault) => return Err(given_up(&keys, fault, account)),
        };
        let (mut left, mut last) = (keys, None);
        for round in 0..RESTORE_ROUNDS_MAX {
            if left.is_empty() {
                return Ok(());
            }
            if round > 0 {
                sleep(RESTORE_PAUSE).await;
                // If this fails, the next round meets the same and asks again.
                let _ = deployment.refresh().await;
            }
            let nodes = by_node(deployment, left, &mut last);
            left = nodes.0;
            let putting = nodes.1.into_iter().map(|(node, keys)| put_at(deployment, node, keys, replace));
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
            Some(fault) if !left.is_empty() => Err(given_up(&left, fault, account)),
            _ => Ok(()),
        }
    }

    async fn database(&mut self, db: u32) -> Result<&Deployment, Fault> {
        if !self.databases.contains_key(&db) {
            let access = Access { db, ..self.access.clone() };
            self.databases.insert(db, Deployment::discover(access).await?);
        }
        self.databases.get(&db).ok_or_else(|| Fault::new(FaultKind::Refused, "?", "no such database"))
    }
}

fn given_up(keys: &[Back], fault: Fault, account: &mut Account) -> Fault {
    account.fail(fault.to_string(), keys.len() as u64);
    fault
}

/// `keys` by the node that serves them, and those that nobody serves at the moment.
fn by_node(
    deployment: &Deployment,
    keys: Vec<Back>,
    last: &mut Option<Fault>,
) -> (Vec<Back>, BTreeMap<NodeId, Vec<Back>>) {
    let topology = deployment.topology();
    let (mut unserved, mut nodes) = (Vec::new(), BTreeMap::<NodeId, Vec<Back>>::new());
    for back in keys {
        let slot = slot_of(back.0.key.as_bytes());
        match topology.owner(slot) {
            Some(primary) => nodes.entry(primary.node.clone()).or_default().push(back),
            None => {
                *last = Some(Fault::new(FaultKind::Moved, "?", format!("nobody serves slot {slot}")));
                unserved.push(back);
            }
        }
    }
    (unserved, nodes)
}

/// What came of keys at one node.
#[derive(Default)]
struct Done {
    restored: u64,
    unconfirmed: u64,
    existing: u64,
    expired: u64,
    failed: Vec<String>,
    /// Keys to be tried again, and why.
    again: Vec<Back>,
    fault: Option<Fault>,
}

async fn put_at(deployment: &Deployment, node: NodeId, keys: Vec<Back>, replace: bool) -> Done {
    let mut done = Done::default();
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
        if let Err(fault) = put_once(deployment, &node, &mut write, replace, &mut done).await {
            deployment.forget(&node);
            if fault.kind.transient() {
                // The calls may have been carried out: such keys are counted as existing then.
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
    deployment: &Deployment,
    node: &NodeId,
    write: &mut Vec<Back>,
    replace: bool,
    done: &mut Done,
) -> Result<(), Fault> {
    let conn = deployment.conn(node).await?;
    // RESTORE of what has expired removes what is there, and makes nothing.
    let soon = node::time_ms(&conn).await? + EXPIRY_MARGIN_MS;
    let before = write.len();
    write.retain(|(entry, _)| entry.expires_at_ms.is_none_or(|at_ms| at_ms > soon));
    done.expired += (before - write.len()) as u64;
    if write.is_empty() {
        return Ok(());
    }
    let entries: Vec<&Entry> = write.iter().map(|(entry, _)| entry).collect();
    let answers = restore::restore(&conn, &entries, replace).await?;
    for ((entry, confirmed), answer) in std::mem::take(write).into_iter().zip(answers) {
        match answer {
            Ok(Restored::Done) => {
                done.restored += 1;
                done.unconfirmed += u64::from(!confirmed);
            }
            Ok(Restored::Existing) => done.existing += 1,
            Err(fault) if fault.kind.transient() => {
                done.again.push((entry, confirmed));
                done.fault = Some(fault);
            }
            Err(fault) => done.failed.push(why(&fault, &entry)),
        }
    }
    Ok(())
}

/// Why a server refused `entry`, and what can be done about it.
fn why(fault: &Fault, entry: &Entry) -> String {
    match refused_version(&fault.detail, &entry.value) {
        Some(more) => format!("{fault}; {more}"),
        None => fault.to_string(),
    }
}
