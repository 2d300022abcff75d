//! One run of a job at a time: the job's lock in Redis, of embedded runs and of the leader of a run over NATS, taken before the first write and kept until after
//! the last one.

use std::time::Duration;

use keysweep_model::duration;
use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::messages::{Cancel, CancelKind, PlannedNode, RunSpec};
use keysweep_model::slot::slot_of;
use keysweep_model::time;
use keysweep_model::wire::shortened;
use keysweep_redis::lock::{self, Holder, Lock, LockState};
use keysweep_redis::{Conn, ConnectOptions, RedisClient, RedisError, RedisErrorKind};
use keysweep_storage::records::Records;
use keysweep_tasks::pause::pause;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::embedded::RunError;
use crate::limits::LOCK_LEASE;
use crate::options::Options;
use crate::preflight::{Preflight, PreflightError};
use crate::process_id::hostname;
use crate::run_time::RunTime;

/// How often a waiting run tries to take the lock.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Attempts to take the lock, or to renew it until its lease ends, if servers fail.
const TRIES: u32 = 8;

/// How long recording a lookup may delay the renewal of the lock.
const NOTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a run stops whose lock does not exist any more, or has another value.
const LOST: &str = "the lock of the job was lost: it expired, was removed, or another run has it";

/// Why the lock was not taken.
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
        /// The holder, and since when.
        holder: String,
        /// Seconds until the lease ends, unless it is renewed.
        lease_left: u64,
    },
    /// The key is not one of our locks, or a lock that never expires.
    #[error(
        "the key {what}, and it has no expiry, which locks of keysweep always have: it never expires; runs of \
         job `{job}` use this key: if no other program needs it, remove it with DEL, or give the job another \
         name"
    )]
    Foreign {
        /// The job.
        job: String,
        /// The key of its lock, its server, and its value.
        what: String,
    },
}

/// A lock that must be renewed.
pub(crate) struct JobLock {
    client: RedisClient,
    lock: Lock,
    records: Records,
}

/// A request for a lock.
pub(crate) struct LockRequest {
    /// The job.
    pub(crate) job: String,
    /// How to connect to the deployment.
    pub(crate) access: ConnectOptions,
    /// Until when to wait for another run of the job to end.
    pub(crate) until: Instant,
    /// When the run's time limit is reached: failing servers are not retried then.
    pub(crate) end: Option<Instant>,
    /// Whether a lock that is held for the same run may be adopted: the process that took it does not drive the run
    /// any more.
    pub(crate) adopt: bool,
}

/// Until when a run waits for another one of its job to end.
pub(crate) fn wait_until(options: &Options, time: &RunTime) -> Instant {
    let wait = Instant::now() + options.lock_wait;
    time.end().map_or(wait, |end| end.min(wait))
}

/// Takes the lock of the job for the run of `plan`. A run whose time limit is reached while it waits gets no lock.
pub(crate) async fn take_for(
    plan: &Preflight,
    options: &Options,
    records: Records,
) -> Result<JobLock, RunError> {
    let (job, access) = (options.job.clone(), options.access.clone());
    let (until, end) = (wait_until(options, &plan.time), plan.time.end());
    let order = LockRequest { job, access, until, end, adopt: false };
    take(&order, records, &plan.spec).await.map_err(|e| {
        let over = plan.time.check("the lock of its job was free").err();
        over.map_or_else(|| e.into(), |over| PreflightError::from(over).into())
    })
}

/// Takes the lock of the job of a run whose process may be gone. Waits for its lease, and a little longer.
pub(crate) async fn take_after_lease(
    options: &Options,
    records: Records,
    spec: &RunSpec,
) -> Result<JobLock, LockError> {
    let (job, access) = (options.job.clone(), options.access.clone());
    let until = Instant::now() + LOCK_LEASE + LOCK_LEASE / 12;
    take(&LockRequest { job, access, until, end: None, adopt: false }, records, spec).await
}

/// Takes the lock of the job; waits for it as long as the request allows and the run is not cancelled. The lock is
/// stored on one of the nodes that the preflight found usable.
pub(crate) async fn take(
    order: &LockRequest,
    records: Records,
    spec: &RunSpec,
) -> Result<JobLock, LockError> {
    let since = time::now().to_string();
    let ours = Holder { run: spec.run, host: hostname(), pid: std::process::id(), since };
    let mut tries = 1;
    loop {
        // Boxed: its state is large, and the futures of all callers would contain it.
        match Box::pin(take_as(&ours, tries > 1, order, &records, spec)).await {
            Err(LockError::Redis(fault))
                if tries < TRIES
                    && fault.kind.is_transient()
                    && order.end.is_none_or(|end| Instant::now() < end) =>
            {
                tracing::debug!(error = %fault, "retrying the lock");
            }
            taken => return taken,
        }
        tries += 1;
        sleep(ASK_AGAIN).await;
    }
}

/// `again`: the lock may be ours already, because a reply was lost.
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
    // One reply is enough to know whether it is ours, or will never be free.
    let mut unknown = true;
    let known = |holder: &Holder| order.adopt && holder.run == spec.run || again && holder == ours;
    loop {
        let (node, conn) = place(&client, slot_of(&key)).await?;
        if let Some(lock) = lock::take(&conn, way, &key, ours, LOCK_LEASE).await? {
            // Freeing it will be a lookup there, after the run.
            note_hits(records, &node, 0).await;
            return Ok(JobLock { client, lock, records: records.clone() });
        }
        let stopped = records.cancel().await.is_ok_and(|cancel| cancel.is_some());
        let over = order.adopt || stopped || Instant::now() >= order.until;
        if over || std::mem::take(&mut unknown) {
            let standing = lock::read_lock(&conn, &key).await?;
            note_hits(records, &node, lock::LOOKUP_HITS).await;
            if let Some(holder) = standing.holder.as_ref().filter(|holder| known(holder)) {
                // Renewing it is one more lookup. Its lease may be over by then, and another run may have it.
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

/// Why the lock `key`, with the state `standing`, cannot be taken.
fn held(job: &str, key: &[u8], conn: &Conn, standing: LockState) -> LockError {
    let (job, key, address) = (job.to_owned(), Key::new(key), conn.address().to_owned());
    let LockState { holder, expires_in: left } = standing;
    match (holder, left) {
        (holder, None) => {
            let what = match holder {
                Some(holder) => format!("holds a lock that was taken {}", who(&holder)),
                None => "has a value that is not a lock of keysweep".to_owned(),
            };
            LockError::Foreign { job, what: format!("`{key}` on redis at `{address}` {what}") }
        }
        (holder, Some(left)) => {
            let other = || {
                format!(
                    "by another program than keysweep, according to the value of the key `{key}` on `{address}`"
                )
            };
            let holder = holder.map_or_else(other, |holder| who(&holder));
            LockError::Held { job, holder, lease_left: left.as_secs() + 1 }
        }
    }
}

async fn note_hits(records: &Records, node: &NodeId, hits: u64) {
    // The lock is worth more than the hit rate, if the store does not respond.
    match timeout(NOTE_TIMEOUT, records.count_lock_hits(node, hits)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!(error = %e, "the hit rate will be off by one lookup"),
        Err(_) => tracing::debug!("the hit rate may be off by one lookup"),
    }
}

/// The key of the lock. If no node serves its slot, the first slot that is served is used, so that the rest of the
/// cluster can be cleaned; two runs that see the same cluster use the same key.
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
    // Other clients can write the key.
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
            "no node serves the slot of the lock",
        )
    };
    let owner = topology.owner(slot).ok_or_else(unserved)?;
    Ok((owner.node.clone(), client.conn(&owner.node).await?))
}

impl JobLock {
    /// Renews the lease until `done`, then frees the lock. Returns why it is lost, if it is: then, or if it cannot be
    /// renewed before the lease ends, the run must stop.
    pub(crate) async fn renew_until(self, done: CancellationToken) -> Result<Option<String>, RedisError> {
        let mut renewed = Instant::now();
        loop {
            if !pause(LOCK_LEASE / 6, &done).await {
                break;
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
                Err(fault) => tracing::warn!(error = %fault, "failed to renew the lock, will retry"),
            }
        }
        self.free().await.map(|()| None)
    }

    /// Frees the lock. Its slot may have moved meanwhile, or be about to.
    pub(crate) async fn free(self) -> Result<(), RedisError> {
        let mut tries = 1;
        loop {
            let fault = match self.free_at_owner().await {
                Ok(freed) => {
                    tracing::debug!(freed, "lock freed");
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
        // The script reads the lock, which counts as a hit.
        note_hits(&self.records, &node, 1).await;
        self.lock.renew(&conn).await
    }

    /// Finds the current owner of the lock's slot, after an error at the previous one.
    async fn refresh_and_classify(&self, fault: RedisError) -> RedisError {
        let topology = self.client.topology();
        match topology.owner(self.lock.slot()) {
            Some(owner) => self.client.refresh_and_classify(&owner.node, fault).await,
            // If no node responds, the next attempt refreshes again.
            None => self.client.refresh().await.err().unwrap_or(fault),
        }
    }
}

/// Cancels a run whose lock is lost, or may be.
pub(crate) async fn stop(records: &Records, why: String) {
    let cancel = Cancel { kind: CancelKind::LockLost, cause: why };
    if let Err(e) = records.create_cancel(&cancel).await {
        tracing::error!(error = %e, "failed to stop a run whose lock is lost");
    }
}
