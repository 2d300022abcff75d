//! What keys hold, read so that it can be put back. Small strings are read as they are (GETRANGE), which costs a server
//! much less than packing them (DUMP); of everything else MEMORY USAGE says whether it is small enough for DUMP.

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

/// What a first look at a key found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A string of at most [`BACKUP_TEXT_MAX`] bytes.
    Text(Held),
    /// Something else, which takes about so many bytes: the server weighs a few members of a large value.
    Other(u64),
    /// Nothing.
    Gone,
}

impl Found {
    /// Bytes that its value takes, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(held) => held.value.len() as u64,
            Self::Other(bytes) => *bytes,
            Self::Gone => 0,
        }
    }
}

/// Looks at each of `keys`; and the look-ups that this took.
pub async fn look(conn: &Conn, keys: &[&Key]) -> Result<(Vec<Found>, Lookups), Fault> {
    // One byte more than a small string has.
    let end = BACKUP_TEXT_MAX.to_string();
    let mut batch = Batch::new();
    for key in keys {
        batch.add(&[b"GETRANGE", key.as_bytes(), b"0", end.as_bytes()]);
    }
    let (mut found, mut lookups, mut others) = (Vec::new(), Lookups::default(), Vec::new());
    for (at, reply) in conn.batch(batch).await?.into_iter().enumerate() {
        match reply {
            Value::BulkString(text) if !text.is_empty() && text.len() as u64 <= BACKUP_TEXT_MAX => {
                lookups.hits += 1;
                let value = packed_string(&text);
                found.push(Found::Text(Held { value, seal: Seal::Text(text.into()) }));
            }
            // An empty one means an empty string, or no key.
            Value::BulkString(text) => others.push((at, text.is_empty())),
            reply if is_no_string(conn, &reply) => others.push((at, false)),
            reply => return Err(refused(conn, &reply, "GETRANGE")),
        }
        found.resize(at + 1, Found::Gone);
    }
    if others.is_empty() {
        return Ok((found, lookups));
    }
    let mut batch = Batch::new();
    for (at, _) in &others {
        batch.add(&[b"MEMORY", b"USAGE", keys[*at].as_bytes()]);
    }
    for ((at, empty), reply) in others.into_iter().zip(conn.batch(batch).await?) {
        // It takes no look-up itself.
        match reply {
            Value::Int(bytes) => found[at] = Found::Other(bytes.unsigned_abs()),
            Value::Nil if empty => {
                lookups.misses += 1;
                continue;
            }
            Value::Nil => {}
            reply => return Err(refused(conn, &reply, "MEMORY USAGE")),
        }
        lookups.hits += 1;
    }
    Ok((found, lookups))
}

/// What each of `keys` holds, whatever it is, and the look-ups that this took. `None` for a key that is gone.
pub async fn values(conn: &Conn, keys: &[&Key]) -> Result<(Vec<Option<Held>>, Lookups), Fault> {
    let mut batch = Batch::new();
    for key in keys {
        batch.add(&[b"DUMP", key.as_bytes()]);
    }
    let mut lookups = Lookups::default();
    let held = |reply| match reply {
        Value::BulkString(value) => {
            lookups.hits += 1;
            let seal = Seal::of(&value);
            Ok(Some(Held { value, seal }))
        }
        Value::Nil => {
            lookups.misses += 1;
            Ok(None)
        }
        reply => Err(refused(conn, &reply, "DUMP")),
    };
    let held: Result<_, Fault> = conn.batch(batch).await?.into_iter().map(held).collect();
    Ok((held?, lookups))
}

/// Whether it was answered that the key holds something else than a string.
pub(super) fn is_no_string(conn: &Conn, reply: &Value) -> bool {
    conn.fault(reply).is_some_and(|fault| fault.detail.starts_with("WRONGTYPE"))
}

fn refused(conn: &Conn, reply: &Value, command: &str) -> Fault {
    conn.fault(reply).unwrap_or_else(|| Fault::unexpected(conn.address(), command))
}
