//! The lock of an embedded run: a key in Redis with a lease, so that two runs of a job never delete at the
//! same time, whatever machine they are on. A holder that dies frees it when the lease ends.

use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::conn::Conn;
use super::fault::Fault;
use crate::ids::RunId;

const SCRIPT: &str = include_str!("lock.lua");

/// Who holds a lock, as the lock itself says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// Since when, RFC 3339.
    pub since: String,
}

/// What came of an attempt to take the lock.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Ours(Lock),
    /// Somebody else has it; what could be read of who, and how long its lease still lasts.
    Held {
        /// The holder, unless the content is of another make.
        holder: Option<Holder>,
        /// Until the lease ends, unless it is renewed.
        lease_left: Duration,
    },
}

/// A lock that we hold.
#[derive(Clone, Debug)]
pub struct Lock {
    key: Vec<u8>,
    value: Vec<u8>,
    lease: Duration,
}

/// The key of a job's lock.
#[must_use]
pub fn lock_key(job: &str) -> Vec<u8> {
    format!("keysweep:lock:{job}").into_bytes()
}

/// Tries to take the lock of `job` at the server that serves [`lock_key`].
pub async fn take(conn: &Conn, job: &str, holder: &Holder, lease: Duration) -> Result<Taken, Fault> {
    let key = lock_key(job);
    let value = serde_json::to_vec(holder).map_err(|_| Fault::unexpected(conn.address(), "SET"))?;
    let lease_ms = lease.as_millis().to_string();
    let set = conn.command(&[b"SET", &key, &value, b"NX", b"PX", lease_ms.as_bytes()]).await?;
    if set != Value::Nil {
        return Ok(Taken::Ours(Lock { key, value, lease }));
    }
    let holder = match conn.command(&[b"GET", &key]).await? {
        Value::BulkString(value) => serde_json::from_slice(&value).ok(),
        _ => None,
    };
    let left = match conn.command(&[b"PTTL", &key]).await? {
        Value::Int(ms) => Duration::from_millis(ms.max(0).unsigned_abs()),
        _ => Duration::ZERO,
    };
    Ok(Taken::Held { holder, lease_left: left })
}

impl Lock {
    /// Starts the lease anew. `false`: the lock is lost, and whatever it guarded must stop.
    pub async fn renew(&self, conn: &Conn) -> Result<bool, Fault> {
        self.call(conn, &self.lease.as_millis().to_string()).await
    }

    /// Frees the lock, if it still is ours.
    pub async fn free(&self, conn: &Conn) -> Result<bool, Fault> {
        self.call(conn, "0").await
    }

    async fn call(&self, conn: &Conn, lease_ms: &str) -> Result<bool, Fault> {
        let args: [&[u8]; 6] =
            [b"EVAL", SCRIPT.as_bytes(), b"1", &self.key, &self.value, lease_ms.as_bytes()];
        Ok(conn.command(&args).await? == Value::Int(1))
    }
}
