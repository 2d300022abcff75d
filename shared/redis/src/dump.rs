//! Reads values of keys so that they can be restored. Strings are read as they are, which costs a server much less than
//! DUMP: small ones in the first command (GETRANGE, whose reply is the same for an empty string and a missing key). For
//! all other values, MEMORY USAGE first returns whether they are small enough.

use keysweep_model::key::Key;
use keysweep_model::messages::Lookups;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::guard::ExpectedContent;
use super::rdb_string::packed_string;
use super::reply_size::ReplyUnit;
use crate::limits::BACKUP_TEXT_MAX;

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedValue {
    /// A string as it is, or the DUMP reply.
    pub value: Vec<u8>,
    /// The expected content, to recognize the value later.
    pub fingerprint: ExpectedContent,
}

impl DumpedValue {
    /// A string.
    fn text(text: Vec<u8>) -> Self {
        Self { fingerprint: ExpectedContent::of_text(&text), value: text }
    }

    /// The value in the format of RESTORE.
    #[must_use]
    pub fn packed(self) -> Vec<u8> {
        if self.fingerprint.is_text() { packed_string(&self.value) } else { self.value }
    }
}

/// The result of the first query for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbedValue {
    /// A string of at most [`BACKUP_TEXT_MAX`] bytes.
    Text(DumpedValue),
    /// Another type, or a longer string.
    Other {
        /// Its approximate size: the server samples the members of a large value.
        bytes: u64,
        /// Whether it is a string.
        text: bool,
    },
    /// No key, or a key that another node serves.
    Gone,
}

impl ProbedValue {
    /// The approximate size of the value in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(held) => held.value.len() as u64,
            Self::Other { bytes, .. } => *bytes,
            Self::Gone => 0,
        }
    }
}

/// Probes each of `keys`, and returns the lookups that this took.
pub async fn probe(conn: &Conn, keys: &[&Key]) -> Result<(Vec<ProbedValue>, Lookups), RedisError> {
    // One byte more than a small string has.
    let end = BACKUP_TEXT_MAX.to_string();
    let mut batch = Batch::new();
    for key in keys {
        batch.add(&[b"GETRANGE", key.as_bytes(), b"0", end.as_bytes()]);
    }
    let (mut found, mut lookups, mut others) = (Vec::new(), Lookups::default(), Vec::new());
    let request = (ReplyUnit::Text, keys.len() as u64);
    for (at, reply) in conn.sized(request, batch).await?.into_iter().enumerate() {
        found.push(ProbedValue::Gone);
        match reply {
            Value::BulkString(text) if text.is_empty() => others.push((at, NonStringReply::Empty)),
            Value::BulkString(text) if text.len() as u64 > BACKUP_TEXT_MAX => {
                others.push((at, NonStringReply::Text));
            }
            Value::BulkString(text) => {
                lookups += Lookups::reads(1, 0);
                found[at] = ProbedValue::Text(DumpedValue::text(text));
            }
            reply if is_no_string(conn, &reply) => others.push((at, NonStringReply::NoText)),
            // Another node serves it, and decides whether it may be deleted.
            reply if conn.fault(&reply).is_some_and(|fault| fault.kind == RedisErrorKind::Moved) => {}
            reply => return Err(refused(conn, &reply, "GETRANGE")),
        }
    }
    let mut batch = Batch::new();
    for (at, other) in &others {
        batch.add(&[other.next_command(), &[keys[*at].as_bytes()]].concat());
    }
    for ((at, other), reply) in others.into_iter().zip(conn.batch(batch).await?) {
        let (hits, misses) = match (other, reply) {
            // MEMORY USAGE makes no lookup itself.
            (NonStringReply::Text | NonStringReply::NoText, Value::Int(bytes)) => {
                found[at] =
                    ProbedValue::Other { bytes: bytes.unsigned_abs(), text: other == NonStringReply::Text };
                (1, 0)
            }
            (NonStringReply::Text | NonStringReply::NoText, Value::Nil) => (1, 0),
            (NonStringReply::Empty, Value::BulkString(text)) if text.is_empty() => {
                found[at] = ProbedValue::Text(DumpedValue::text(text));
                (2, 0)
            }
            (NonStringReply::Empty, Value::Nil) => (0, 2),
            // Written in between: it is not the value that was probed.
            (NonStringReply::Empty, Value::BulkString(_)) => (1, 1),
            (NonStringReply::Empty, reply) if is_no_string(conn, &reply) => (1, 1),
            (other, reply) => {
                let command = String::from_utf8_lossy(other.next_command()[0]);
                return Err(refused(conn, &reply, &command));
            }
        };
        lookups += Lookups::reads(hits, misses);
    }
    Ok((found, lookups))
}

/// What GETRANGE shows of a key without a small string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NonStringReply {
    /// An empty string, or no key.
    Empty,
    /// A string.
    Text,
    /// Another type.
    NoText,
}

impl NonStringReply {
    /// The next command for the key, without the key.
    fn next_command(self) -> &'static [&'static [u8]] {
        match self {
            Self::Empty => &[b"GET"],
            Self::Text | Self::NoText => &[b"MEMORY", b"USAGE"],
        }
    }
}

/// The values of `keys`, each with whether the probe found a string, and the lookups that this took. `None` for a key
/// that is gone or has changed its type. All of them take about `bytes` bytes.
pub async fn values(
    conn: &Conn,
    keys: &[(&Key, bool)],
    bytes: u64,
) -> Result<(Vec<Option<DumpedValue>>, Lookups), RedisError> {
    let command = |text: bool| if text { "GET" } else { "DUMP" };
    let mut batch = Batch::new();
    for (key, text) in keys {
        batch.add(&[command(*text).as_bytes(), key.as_bytes()]);
    }
    let (mut held, mut lookups) = (Vec::new(), Lookups::default());
    for ((_, text), reply) in keys.iter().zip(conn.sized((ReplyUnit::ValueByte, bytes.max(2)), batch).await?)
    {
        let (there, value) = match reply {
            Value::BulkString(value) if *text => (true, Some(DumpedValue::text(value))),
            Value::BulkString(value) => {
                (true, Some(DumpedValue { fingerprint: ExpectedContent::of(&value), value }))
            }
            Value::Nil => (false, None),
            reply if is_no_string(conn, &reply) => (true, None),
            reply => return Err(refused(conn, &reply, command(*text))),
        };
        let (hits, misses) = (u64::from(there), u64::from(!there));
        // A string is read by GET, as an application would read it; DUMP is not an application's read.
        lookups += if *text { Lookups::reads(hits, misses) } else { Lookups::of(hits, misses) };
        held.push(value);
    }
    Ok((held, lookups))
}

/// Whether the reply means that the key is not a string.
pub(super) fn is_no_string(conn: &Conn, reply: &Value) -> bool {
    conn.fault(reply).is_some_and(|fault| fault.detail.starts_with("WRONGTYPE"))
}

fn refused(conn: &Conn, reply: &Value, command: &str) -> RedisError {
    conn.fault(reply).unwrap_or_else(|| RedisError::unexpected(conn.address(), command))
}
