//! The lock of a job: a key in Redis with a lease, so that two runs of a job never delete at the same time,
//! on any machine. If the holder dies, the lock is released when the lease ends. Both [`DeleteBackend`]s use the same
//! key, so that all runs of a job contend for it.

use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::messages::DeleteBackend;
use keysweep_model::slot::{slot_of, tag_for};
use keysweep_model::wire;
use redis::Value;
use serde::{Deserialize, Serialize};

use super::conn::{Batch, Conn};
use super::dump::is_no_string;
use super::error::{RedisError, RedisErrorKind};
use super::multi_exec::transaction;
use super::scripts;

const SCRIPT: &str = include_str!("lock.lua");

/// Full memory rejects a plain `SET`, and that is when a cleanup is needed most.
const TAKE: &str = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])";

/// The holder of a lock, as stored in the lock itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The host name.
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// When it was acquired, RFC 3339.
    pub since: String,
}

/// A lock that this process has acquired.
#[derive(Clone, Debug)]
pub struct Lock {
    key: Vec<u8>,
    value: Vec<u8>,
    lease: Duration,
    delete_backend: DeleteBackend,
}

/// How often a transaction on the lock is retried because the lock changed meanwhile.
const TRIES_MAX: u32 = 5;

/// The key of a job's lock; in `slot`, if one is given.
#[must_use]
pub fn lock_key(job: &str, slot: Option<u16>) -> Vec<u8> {
    match slot {
        None => format!("keysweep:lock:{job}").into_bytes(),
        Some(slot) => format!("keysweep:lock:{{{}}}:{job}", tag_for(slot)).into_bytes(),
    }
}

/// Tries to acquire the lock `key` at the server that serves it; `None` if another holder has it.
///
/// # Errors
/// Fails on a server with full memory that runs no scripts.
pub async fn take(
    conn: &Conn,
    backend: DeleteBackend,
    key: &[u8],
    holder: &Holder,
    lease: Duration,
) -> Result<Option<Lock>, RedisError> {
    let value = serde_json::to_vec(holder).map_err(|_| RedisError::unexpected(conn.address(), "SET"))?;
    let lease_ms = lease.as_millis().to_string();
    let set = match backend {
        DeleteBackend::Lua => scripts::eval(conn, TAKE, key, &[&value, lease_ms.as_bytes()]).await?,
        DeleteBackend::Watch => {
            conn.command(&[b"SET", key, &value, b"NX", b"PX", lease_ms.as_bytes()]).await?
        }
    };
    Ok((set != Value::Nil).then(|| Lock { key: key.to_vec(), value, lease, delete_backend: backend }))
}

/// The lock `key` that `holder` acquired for a run which is ours now. [`Lock::renew`] shows whether it is still held.
#[must_use]
pub fn adopt(backend: DeleteBackend, key: &[u8], holder: &Holder, lease: Duration) -> Lock {
    // Encoded exactly as it was acquired, so that it is recognized as ours.
    Lock {
        key: key.to_vec(),
        value: serde_json::to_vec(holder).unwrap_or_default(),
        lease,
        delete_backend: backend,
    }
}

/// Lookups by [`read_lock`] of a lock that exists.
pub const LOOKUP_HITS: u64 = 2;

/// The state of a lock's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockState {
    /// The holder; `None` if the content has another format.
    pub holder: Option<Holder>,
    /// The remaining lease; `None` if the key never expires, which no lock of keysweep does.
    pub expires_in: Option<Duration>,
}

/// Reads the state of the lock `key`.
pub async fn read_lock(conn: &Conn, key: &[u8]) -> Result<LockState, RedisError> {
    let mut batch = Batch::new();
    batch.add(&[b"GET", key]);
    batch.add(&[b"PTTL", key]);
    let replies = conn.batch(batch).await?;
    let [value, left] = replies.as_slice() else { return Err(RedisError::unexpected(conn.address(), "GET")) };
    let holder = match value {
        Value::BulkString(value) => wire::from_json(value).ok(),
        // It is not a string, and so not a lock of keysweep.
        other if is_no_string(conn, other) => None,
        other => conn.fault(other).map_or(Ok(None), Err)?,
    };
    let left = match left {
        Value::Int(-1) => None,
        Value::Int(ms) => Some(Duration::from_millis((*ms).max(0).unsigned_abs())),
        other => {
            return Err(conn.fault(other).unwrap_or_else(|| RedisError::unexpected(conn.address(), "PTTL")));
        }
    };
    Ok(LockState { holder, expires_in: left })
}

impl Lock {
    /// The slot of the lock's key.
    #[must_use]
    pub fn slot(&self) -> u16 {
        slot_of(&self.key)
    }

    /// Renews the lease. `false`: the lock is lost, and the work that it protected must stop.
    pub async fn renew(&self, conn: &Conn) -> Result<bool, RedisError> {
        self.call(conn, Some(self.lease)).await
    }

    /// Releases the lock, if it is still ours.
    pub async fn release(&self, conn: &Conn) -> Result<bool, RedisError> {
        self.call(conn, None).await
    }

    async fn call(&self, conn: &Conn, lease: Option<Duration>) -> Result<bool, RedisError> {
        let lease_ms = lease.map(|lease| lease.as_millis().to_string());
        match self.delete_backend {
            DeleteBackend::Lua => {
                let lease_ms = lease_ms.unwrap_or_else(|| "0".to_owned());
                let done =
                    scripts::eval(conn, SCRIPT, &self.key, &[&self.value, lease_ms.as_bytes()]).await?;
                Ok(done == Value::Int(1))
            }
            DeleteBackend::Watch => self.transact(conn, lease_ms).await,
        }
    }

    /// Does what `lock.lua` does, in a transaction that fails if the lock has changed since it was read.
    async fn transact(&self, conn: &Conn, lease_ms: Option<String>) -> Result<bool, RedisError> {
        let own = conn.dedicated().await?;
        let key = || self.key.clone();
        let command = match lease_ms {
            Some(lease_ms) => vec![b"PEXPIRE".to_vec(), key(), lease_ms.into_bytes()],
            None => vec![b"UNLINK".to_vec(), key()],
        };
        for _ in 0..TRIES_MAX {
            own.command(&[b"WATCH", &self.key]).await?;
            if own.command(&[b"GET", &self.key]).await? != Value::BulkString(self.value.clone()) {
                return Ok(false);
            }
            match transaction(&own, std::slice::from_ref(&command)).await? {
                Some(None) => {
                    drop(own.into_conn());
                    return Ok(true);
                }
                Some(Some(refused)) => return Err(refused),
                None => {}
            }
        }
        Err(RedisError::new(RedisErrorKind::Unavailable, conn.address(), "the lock keeps changing"))
    }
}
