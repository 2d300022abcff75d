//! One run of a job at a time: the lock of an embedded run, taken before the first write and kept until the
//! last one.

use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::duration;
use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::limits::LOCK_LEASE;
use keysweep_model::messages::{Cancel, CancelKind, PlannedNode, RunSpec};
use keysweep_model::slot::slot_of;
use keysweep_model::wire::shortened;
use keysweep_redis::lock::{self, Holder, Lock, LockState};
use keysweep_redis::{Conn, ConnectOptions, RedisClient, RedisError, RedisErrorKind};
use keysweep_storage::records::Records;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::embedded::RunError;
use crate::options::Options;
use crate::preflight::{Preflight, PreflightError};
use crate::process_id::hostname;
use crate::run_time::RunTime;

/// How often somebody who waits for the lock asks again.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How often servers that fail are asked for the lock, or to take it back until its lease has to end by itself.
const TRIES: u32 = 8;

/// How long noting a look-up may hold up the renewal of the lock.
const NOTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a run stops whose lock is there no more, or has another value.
const LOST: &str = "the lock of the job was lost: it expired, was removed, or another run has it";

/// Why the lock is not ours.
#[derive(Debug, Error)]
pub enum LockError {
    /// A server failed.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Another run has it.
    #[error(
        "job `{job}` is being run {holder}; wait for it with `--lock-wait 10m`, or, if that process is gone, \
         until its lease ends in {lease_left} s"
    )]
    Held {
        /// The job.
        job: String,
        /// Who holds it, and since when.
        holder: String,
        /// Seconds until the lease ends, unless it is renewed.
        lease_left: u64,
    },
    /// What stands there is no lock of ours, or one that never ends.
    #[error(
        "the key {what}, and it has no expiry, which locks of keysweep always have: it never goes away by itself; runs of \
         job `{job}` meet at this key, so if nothing of yours needs it, remove it there with DEL, or give the job another \
         name"
    )]
    Foreign {
        /// The job.
        job: String,
        /// The key of its lock, where it is, and what it holds.
        what: String,
    },
}

/// A lock that is being kept.
pub(crate) struct JobLock {
    client: RedisClient,
    lock: Lock,
    records: Records,
}

/// Which lock is to be taken.
pub(crate) struct LockRequest {
    /// The job.
    pub(crate) job: String,
    /// The way to the deployment.
    pub(crate) access: ConnectOptions,
    /// Until when to wait for another run of the job to end.
    pub(crate) until: Instant,
    /// When the time of the run is over: then servers that fail are not asked again.
    pub(crate) end: Option<Instant>,
    /// Whether a lock that is held for the same run may be adopted: whoever took it drives the run no more.
    pub(crate) adopt: bool,
}

/// The moment until which a run waits for another one of its job to end.
pub(crate) fn wait_until(options: &Options, time: &RunTime) -> Instant {
    let wait = Instant::now() + options.lock_wait;
    time.end().map_or(wait, |end| end.min(wait))
}

/// Takes the lock of the job for the run that `survey` planned. A run whose time is over while it waits has no lock.
pub(crate) async fn take_for(
    plan: &Preflight,
    options: &Options,
    records: Records,
) -> Result<JobLock, RunError> {
    let (job, access) = (options.job.clone(), options.access.clone());
    let (until, end) = (wait_until(options, &plan.time), plan.time.end());
    let order = LockRequest { job, access, until, end, adopt: false };
    take(&order, records, &plan.spec).await.map_err(|e| {
        let over = plan.time.check("the lock of its job was to be had").err();
        over.map_or_else(|| e.into(), |over| PreflightError::from(over).into())
    })
}

/// Takes the lock of the job, waiting for it as long as the order says and the run is not stopped. It lives at one
/// of the nodes that the survey found usable.
pub(crate) async fn take(
    order: &LockRequest,
    records: Records,
    spec: &RunSpec,
) -> Result<JobLock, LockError> {
    let since = Timestamp::now().to_string();
    let ours = Holder { run: spec.run, host: hostname(), pid: std::process::id(), since };
    let mut tries = 1;
    loop {
        // Boxed, because its state is large, and the futures of all callers would contain it.
        match Box::pin(take_as(&ours, tries > 1, order, &records, spec)).await {
            Err(LockError::Redis(fault))
                if tries < TRIES
                    && fault.kind.is_transient()
                    && order.end.is_none_or(|end| Instant::now() < end) =>
            {
                tracing::debug!(error = %fault, "the lock is tried again");
            }
            taken => return taken,
        }
        tries += 1;
        sleep(ASK_AGAIN).await;
    }
}

/// `again` says that it may be ours already, because an answer was lost.
async fn take_as(
    ours: &Holder,
    again: bool,
    order: &LockRequest,
    records: &Records,
    spec: &RunSpec,
) -> Result<JobLock, LockError> {
    let way = spec.delete_backend();
    let client = RedisClient::discover(order.access.clone()).await?;
    let key = key(&order.job, &spec.nodes);
    // Once is enough to know whether it is ours, or will never be free.
    let mut unknown = true;
    let known = |holder: &Holder| order.adopt && holder.run == spec.run || again && holder == ours;
    loop {
        let (node, conn) = place(&client, slot_of(&key)).await?;
        if let Some(lock) = lock::take(&conn, way, &key, ours, LOCK_LEASE).await? {
            // Freeing it will be a look-up there, after the run.
            note_hits(records, &node, 0).await;
            return Ok(JobLock { client, lock, records: records.clone() });
        }
        let stopped = records.cancel().await.is_ok_and(|cancel| cancel.is_some());
        let over = order.adopt || stopped || Instant::now() >= order.until;
        if over || std::mem::take(&mut unknown) {
            let standing = lock::read_lock(&conn, &key).await?;
            note_hits(records, &node, lock::LOOKUP_HITS).await;
            if let Some(holder) = standing.holder.as_ref().filter(|holder| known(holder)) {
                // Renewing looks at it once more. Its lease may be over by then, and another run may have it.
                note_hits(records, &node, 1).await;
                let lock = lock::adopt(way, &key, holder, LOCK_LEASE);
                if lock.renew(&conn).await? {
                    return Ok(JobLock { client, lock, records: records.clone() });
                }
            } else if over || standing.holder.is_none() && standing.expires_in.is_none() {
                return Err(held(&order.job, &key, &conn, standing));
            }
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Why the lock `key`, where `standing` was found, is not to be had.
fn held(job: &str, key: &[u8], conn: &Conn, standing: LockState) -> LockError {
    let (job, key, address) = (job.to_owned(), Key::new(key), conn.address().to_owned());
    let LockState { holder, expires_in: left } = standing;
    match (holder, left) {
        (holder, None) => {
            let what = match holder {
                Some(holder) => format!("holds a lock that was taken {}", who(&holder)),
                None => "holds what is no lock of keysweep".to_owned(),
            };
            LockError::Foreign { job, what: format!("`{key}` on redis at `{address}` {what}") }
        }
        (holder, Some(left)) => {
            let other =
                || format!("by something else than keysweep, by what the key `{key}` on `{address}` holds");
            let holder = holder.map_or_else(other, |holder| who(&holder));
            LockError::Held { job, holder, lease_left: left.as_secs() + 1 }
        }
    }
}

async fn note_hits(records: &Records, node: &NodeId, hits: u64) {
    // The lock is worth more than the hit rate, where the store does not answer.
    match timeout(NOTE_TIMEOUT, records.count_hits("lock", node, hits)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!(error = %e, "the hit rate will be off by one look-up"),
        Err(_) => tracing::debug!("the hit rate may be off by one look-up"),
    }
}

/// The key of the lock. In a cluster whose slot for it is not served, it stands in the first slot that is, so
/// that what is left of the cluster can be cleaned; two runs that see the same cluster still meet.
fn key(job: &str, nodes: &[PlannedNode]) -> Vec<u8> {
    let plain = lock::lock_key(job, None);
    let served = |slot| nodes.iter().any(|node| node.slots.contains(slot));
    let first = nodes.iter().filter_map(|node| node.slots.iter().next()).min();
    match first {
        Some(first) if !served(slot_of(&plain)) => lock::lock_key(job, Some(first)),
        _ => plain,
    }
}

fn who(holder: &Holder) -> String {
    // Others can write the key.
    let [host, since] = [&holder.host, &holder.since].map(|text| shortened(text));
    format!("by process {} on `{host}` since {since} (run {})", holder.pid, holder.run)
}

/// The server that serves `slot`.
async fn place(client: &RedisClient, slot: u16) -> Result<(NodeId, Conn), RedisError> {
    let topology = client.topology();
    let unserved = || {
        RedisError::new(
            RedisErrorKind::Unavailable,
            format!("slot {slot}"),
            "nobody serves the slot of the lock",
        )
    };
    let owner = topology.owner(slot).ok_or_else(unserved)?;
    Ok((owner.node.clone(), client.conn(&owner.node).await?))
}

impl JobLock {
    /// Renews the lease until `done`, and frees the lock then. Returns why it is lost, if it is: then, or if it cannot
    /// be renewed before the lease ends, the run must stop.
    pub(crate) async fn renew_until(self, done: CancellationToken) -> Result<Option<String>, RedisError> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = done.cancelled() => break,
                () = sleep(LOCK_LEASE / 6) => {}
            }
            let slow = || {
                RedisError::new(
                    RedisErrorKind::ConnectionLost,
                    "the server of the lock",
                    "no answer within a sixth of the lease",
                )
            };
            match timeout(LOCK_LEASE / 6, self.renew()).await.unwrap_or_else(|_| Err(slow())) {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return Ok(Some(LOST.to_owned())),
                Err(fault) if renewed.elapsed() > LOCK_LEASE * 2 / 3 => {
                    let since = duration::show(LOCK_LEASE * 2 / 3);
                    return Ok(Some(format!(
                        "the lock of the job could not be renewed for {since}: {fault}"
                    )));
                }
                Err(fault) => tracing::warn!(error = %fault, "failed to renew the lock, will try again"),
            }
        }
        self.free().await.map(|()| None)
    }

    /// Gives the lock back. Its slot may have moved meanwhile, or be about to.
    pub(crate) async fn free(self) -> Result<(), RedisError> {
        let mut tries = 1;
        loop {
            let fault = match self.free_at_owner().await {
                Ok(freed) => {
                    tracing::debug!(freed, "lock given back");
                    return Ok(());
                }
                Err(fault) => self.refresh_and_classify(fault).await,
            };
            if tries >= TRIES || !fault.kind.is_transient() {
                return Err(fault);
            }
            tries += 1;
            sleep(ASK_AGAIN).await;
        }
    }

    async fn free_at_owner(&self) -> Result<bool, RedisError> {
        let (_, conn) = place(&self.client, self.lock.slot()).await?;
        self.lock.release(&conn).await
    }

    async fn renew(&self) -> Result<bool, RedisError> {
        match self.renew_at_owner().await {
            Err(fault) => Err(self.refresh_and_classify(fault).await),
            renewed => renewed,
        }
    }

    async fn renew_at_owner(&self) -> Result<bool, RedisError> {
        let (node, conn) = place(&self.client, self.lock.slot()).await?;
        // The script looks at the lock, which counts as a hit.
        note_hits(&self.records, &node, 1).await;
        self.lock.renew(&conn).await
    }

    /// Asks who serves the lock's slot by now, after a failure at its owner.
    async fn refresh_and_classify(&self, fault: RedisError) -> RedisError {
        let topology = self.client.topology();
        match topology.owner(self.lock.slot()) {
            Some(owner) => self.client.refresh_and_classify(&owner.node, fault).await,
            // If nobody answers, the next try asks again.
            None => self.client.refresh().await.err().unwrap_or(fault),
        }
    }
}

/// Stops a run whose lock is lost, or may be.
pub(crate) async fn stop(records: &Records, why: String) {
    let cancel = Cancel { kind: CancelKind::LockLost, cause: why };
    if let Err(e) = records.create_cancel(&cancel).await {
        tracing::error!(error = %e, "failed to stop a run whose lock is lost");
    }
}
