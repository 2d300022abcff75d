//! What keys hold, read so that it can be put back: MEMORY USAGE says what is small enough; small strings are read as
//! they are (GET), which costs a server much less than packing them (DUMP), and everything else by DUMP.

use redis::Value;

use super::conn::{Batch, Conn};
use super::fault::Fault;
use super::guard::Seal;
use crate::backup::packed_string;
use crate::key::Key;
use crate::limits::BACKUP_TEXT_MAX;
use crate::messages::Lookups;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// As RESTORE takes it.
    pub value: Vec<u8>,
    /// By which it is known again.
    pub seal: Seal,
}

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

/// What each of `keys` holds, of which the server has said how many bytes it takes, and the look-ups that this took.
/// `None` for a key that is gone.
pub async fn values(conn: &Conn, keys: &[(&Key, u64)]) -> Result<(Vec<Option<Held>>, Lookups), Fault> {
    let command = |size: u64| if size <= BACKUP_TEXT_MAX { "GET" } else { "DUMP" };
    let mut batch = Batch::new();
    for (key, size) in keys {
        batch.add(&[command(*size).as_bytes(), key.as_bytes()]);
    }
    let (mut held, mut lookups, mut others) = (Vec::new(), Lookups::default(), Vec::new());
    for ((at, (_, size)), reply) in keys.iter().enumerate().zip(conn.batch(batch).await?) {
        let command = command(*size);
        if command == "GET" && is_no_string(conn, &reply) {
            lookups.hits += 1;
            others.push(at);
            held.push(None);
        } else {
            held.push(take(conn, reply, command, &mut lookups)?);
        }
    }
    let mut batch = Batch::new();
    for at in &others {
        batch.add(&[b"DUMP", keys[*at].0.as_bytes()]);
    }
    let replies = if others.is_empty() { Vec::new() } else { conn.batch(batch).await? };
    for (at, reply) in others.into_iter().zip(replies) {
        held[at] = take(conn, reply, "DUMP", &mut lookups)?;
    }
    Ok((held, lookups))
}

fn take(conn: &Conn, reply: Value, command: &str, lookups: &mut Lookups) -> Result<Option<Held>, Fault> {
    match reply {
        Value::BulkString(text) if command == "GET" => {
            lookups.hits += 1;
            Ok(Some(Held { value: packed_string(&text), seal: Seal::Text(text.into()) }))
        }
        Value::BulkString(value) => {
            lookups.hits += 1;
            let seal = Seal::of(&value);
            Ok(Some(Held { value, seal }))
        }
        Value::Nil => {
            lookups.misses += 1;
            Ok(None)
        }
        reply => Err(refused(conn, &reply, command)),
    }
}

/// Whether GET was answered that the key holds something else.
pub(super) fn is_no_string(conn: &Conn, reply: &Value) -> bool {
    conn.fault(reply).is_some_and(|fault| fault.detail.starts_with("WRONGTYPE"))
}

fn refused(conn: &Conn, reply: &Value, command: &str) -> Fault {
    conn.fault(reply).unwrap_or_else(|| Fault::unexpected(conn.address(), command))
}
