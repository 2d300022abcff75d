//! Restores saved keys with RESTORE, which replaces an existing key only on request.

use keysweep_model::ids::unique;
use keysweep_model::key::Key;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};

/// A key to restore.
#[derive(Clone, Copy, Debug)]
pub struct RestoreEntry<'a> {
    /// Its name.
    pub key: &'a Key,
    /// Its value, as DUMP returns it.
    pub value: &'a [u8],
    /// When it expires, in milliseconds since the epoch; `None` for never.
    pub expires_at_ms: Option<u64>,
}

/// The outcome for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It was restored.
    Done,
    /// A key of this name exists and was left unchanged.
    Existing,
}

/// Restores `entries` in one write, each with its saved value and expiry. A key whose call failed has its error in its
/// place.
pub async fn restore(
    conn: &Conn,
    entries: &[RestoreEntry<'_>],
    replace: bool,
) -> Result<Vec<Result<Restored, RedisError>>, RedisError> {
    let mut batch = Batch::new();
    for entry in entries {
        let expiry = entry.expires_at_ms.unwrap_or(0).to_string();
        let mut args: Vec<&[u8]> = vec![b"RESTORE", entry.key.as_bytes(), expiry.as_bytes(), entry.value];
        args.extend(replace.then_some(&b"REPLACE"[..]));
        // An expiry of 0 means none.
        args.extend(entry.expires_at_ms.map(|_| &b"ABSTTL"[..]));
        batch.add(&args);
    }
    let replies = conn.batch(batch).await?;
    let restored = |reply: &Value| match reply {
        Value::Okay => Ok(Restored::Done),
        reply => {
            let fault =
                conn.fault(reply).unwrap_or_else(|| RedisError::unexpected(conn.address(), "RESTORE"));
            if fault.detail.starts_with("BUSYKEY") { Ok(Restored::Existing) } else { Err(fault) }
        }
    };
    Ok(replies.iter().map(restored).collect())
}

/// Checks whether our user may run RESTORE, by a call without an effect: an empty value is invalid.
///
/// # Errors
/// When the user may not, or the server fails.
pub async fn check(conn: &Conn) -> Result<(), RedisError> {
    let absent = format!("keysweep:preflight:{}", unique());
    match conn.command(&[b"RESTORE", absent.as_bytes(), b"0", b""]).await {
        Err(fault) if matches!(fault.kind, RedisErrorKind::CommandError | RedisErrorKind::Moved) => Ok(()),
        Err(fault) => Err(fault),
        Ok(_) => Err(RedisError::unexpected(conn.address(), "RESTORE")),
    }
}
