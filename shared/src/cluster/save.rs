//! What keys hold, read so that it can be put back: MEMORY USAGE says what is small enough, DUMP gives it.

use redis::Value;

use super::conn::{Batch, Conn};
use super::fault::Fault;
use crate::key::Key;

/// Bytes that each key takes, about: the server weighs a few members of a large one. `None` for a key that is gone.
/// Takes no look-ups.
pub async fn sizes(conn: &Conn, keys: &[&Key]) -> Result<Vec<Option<u64>>, Fault> {
    let mut batch = Batch::new();
    for key in keys {
        batch.add(&[b"MEMORY", b"USAGE", key.as_bytes()]);
    }
    let size = |reply| match reply {
        Value::Int(bytes) => Ok(Some(bytes.unsigned_abs())),
        Value::Nil => Ok(None),
        reply => Err(refused(conn, &reply, "MEMORY USAGE")),
    };
    conn.batch(batch).await?.into_iter().map(size).collect()
}

/// The value of each key as RESTORE takes it. `None` for a key that is gone. Each takes a look-up.
pub async fn values(conn: &Conn, keys: &[&Key]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let mut batch = Batch::new();
    for key in keys {
        batch.add(&[b"DUMP", key.as_bytes()]);
    }
    let value = |reply| match reply {
        Value::BulkString(value) => Ok(Some(value)),
        Value::Nil => Ok(None),
        reply => Err(refused(conn, &reply, "DUMP")),
    };
    conn.batch(batch).await?.into_iter().map(value).collect()
}

fn refused(conn: &Conn, reply: &Value, command: &str) -> Fault {
    conn.fault(reply).unwrap_or_else(|| Fault::unexpected(conn.address(), command))
}
