//! What keys hold, read so that it can be put back. Strings are read as they are, which costs a server much less than
//! packing them (DUMP): small ones at first sight (GETRANGE, which answers the same of an empty string and of no key).
//! Of everything else MEMORY USAGE says first whether it is small enough.

use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::guard::ExpectedContent;
use super::reply_size::ReplyUnit;
use crate::backup::packed_string;
use crate::key::Key;
use crate::limits::BACKUP_TEXT_MAX;
use crate::messages::Lookups;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedValue {
    /// A string as it is, or what DUMP answered.
    pub value: Vec<u8>,
    /// By which it is known again.
    pub seal: ExpectedContent,
}

impl DumpedValue {
    /// A string.
    fn text(text: Vec<u8>) -> Self {
        Self { seal: ExpectedContent::of_text(&text), value: text }
    }

    /// Its value as RESTORE takes it.
    #[must_use]
    pub fn packed(self) -> Vec<u8> {
        if self.seal.is_text() { packed_string(&self.value) } else { self.value }
    }
}

/// What a first look at a key found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbedValue {
    /// A string of at most [`BACKUP_TEXT_MAX`] bytes.
    Text(DumpedValue),
    /// Something else.
    Other {
        /// What it takes, about: the server weighs a few members of a large value.
        bytes: u64,
        /// Whether it is a string.
        text: bool,
    },
    /// Nothing, or a key that is served elsewhere.
    Gone,
}

impl ProbedValue {
    /// Bytes that its value takes, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(held) => held.value.len() as u64,
            Self::Other { bytes, .. } => *bytes,
            Self::Gone => 0,
        }
    }
}

/// Looks at each of `keys`; and the look-ups that this took.
pub async fn probe(conn: &Conn, keys: &[&Key]) -> Result<(Vec<ProbedValue>, Lookups), RedisError> {
    // One byte more than a small string has.
    let end = BACKUP_TEXT_MAX.to_string();
    let mut batch = Batch::new();
    for key in keys {
        batch.add(&[b"GETRANGE", key.as_bytes(), b"0", end.as_bytes()]);
    }
    let (mut found, mut lookups, mut others) = (Vec::new(), Lookups::default(), Vec::new());
    let asked = (ReplyUnit::Text, keys.len() as u64);
    for (at, reply) in conn.sized(asked, batch).await?.into_iter().enumerate() {
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
            // It is not here. Whether it may be deleted, its own server says.
            reply if conn.fault(&reply).is_some_and(|fault| fault.kind == RedisErrorKind::Moved) => {}
            reply => return Err(refused(conn, &reply, "GETRANGE")),
        }
    }
    let mut batch = Batch::new();
    for (at, other) in &others {
        batch.add(&[other.asked_with(), &[keys[*at].as_bytes()]].concat());
    }
    for ((at, other), reply) in others.into_iter().zip(conn.batch(batch).await?) {
        let (hits, misses) = match (other, reply) {
            // MEMORY USAGE takes no look-up itself.
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
            // Written in between: it is not what was found.
            (NonStringReply::Empty, Value::BulkString(_)) => (1, 1),
            (NonStringReply::Empty, reply) if is_no_string(conn, &reply) => (1, 1),
            (other, reply) => {
                let command = String::from_utf8_lossy(other.asked_with()[0]);
                return Err(refused(conn, &reply, &command));
            }
        };
        lookups += Lookups::reads(hits, misses);
    }
    Ok((found, lookups))
}

/// What GETRANGE tells of a key that holds no small string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NonStringReply {
    /// An empty string, or no key.
    Empty,
    /// A string.
    Text,
    /// Something else.
    NoText,
}

impl NonStringReply {
    /// The command that tells more, without the key.
    fn asked_with(self) -> &'static [&'static [u8]] {
        match self {
            Self::Empty => &[b"GET"],
            Self::Text | Self::NoText => &[b"MEMORY", b"USAGE"],
        }
    }
}

/// What each of `keys` holds, of which it was found whether that is a string, and the look-ups that this took. `None` for
/// a key that is gone, or holds something else by now. All of them take about `bytes` bytes.
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
                (true, Some(DumpedValue { seal: ExpectedContent::of(&value), value }))
            }
            Value::Nil => (false, None),
            reply if is_no_string(conn, &reply) => (true, None),
            reply => return Err(refused(conn, &reply, command(*text))),
        };
        let (hits, misses) = (u64::from(there), u64::from(!there));
        // A string is read by GET, as an application would; DUMP is no application's read.
        lookups += if *text { Lookups::reads(hits, misses) } else { Lookups::of(hits, misses) };
        held.push(value);
    }
    Ok((held, lookups))
}

/// Whether it was answered that the key holds something else than a string.
pub(super) fn is_no_string(conn: &Conn, reply: &Value) -> bool {
    conn.fault(reply).is_some_and(|fault| fault.detail.starts_with("WRONGTYPE"))
}

fn refused(conn: &Conn, reply: &Value, command: &str) -> RedisError {
    conn.fault(reply).unwrap_or_else(|| RedisError::unexpected(conn.address(), command))
}
