//! Queries the memory usage, the type and the idle time of a sample of keys.

use keysweep_model::key::Key;
use keysweep_model::messages::Lookups;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};

/// A key, and what is queried of it besides its memory usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyQuery {
    /// The key.
    pub key: Key,
    /// Whether its idle time is queried.
    pub idle: bool,
    /// Whether its type is.
    pub kind: bool,
}

impl KeyQuery {
    /// Queries only the memory usage of `key`.
    #[must_use]
    pub fn memory(key: Key) -> Self {
        Self { key, idle: false, kind: false }
    }
}

/// The memory usage, type and idle time of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMemory {
    /// Bytes that it uses, including its name; `None` if it is gone or moved.
    pub bytes: Option<u64>,
    /// Seconds since its last use; `None` if not queried, or if the server does not keep it.
    pub idle_s: Option<u64>,
    /// Its type; `None` if not queried, or if the key is gone.
    pub kind: Option<String>,
}

/// The results, and the lookups that they took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMemories {
    /// One per key, in their order.
    pub memories: Vec<KeyMemory>,
    /// The lookups.
    pub lookups: Lookups,
    /// Why memory usage could not be queried, if it could not.
    pub refused: Option<String>,
}

/// Queries `keys` in one write.
pub async fn memory_usage(conn: &Conn, keys: &[KeyQuery]) -> Result<KeyMemories, RedisError> {
    let mut batch = Batch::new();
    for KeyQuery { key, idle, kind } in keys {
        batch.add(&[b"MEMORY", b"USAGE", key.as_bytes()]);
        if *idle {
            batch.add(&[b"OBJECT", b"IDLETIME", key.as_bytes()]);
        }
        if *kind {
            batch.add(&[b"TYPE", key.as_bytes()]);
        }
    }
    let mut replies = conn.batch(batch).await?.into_iter();
    let mut found = KeyMemories::default();
    for KeyQuery { idle, kind, .. } in keys {
        let mut memory = KeyMemory::default();
        match replies.next() {
            Some(Value::Int(bytes)) => memory.bytes = Some(bytes.unsigned_abs()),
            Some(reply) => {
                let refused = |fault: &RedisError| {
                    fault.kind == RedisErrorKind::PermissionDenied || fault.is_unknown_command()
                };
                if let Some(fault) = conn.fault(&reply).filter(refused) {
                    found.refused = Some(fault.detail);
                }
            }
            None => {}
        }
        if *idle {
            match replies.next() {
                Some(Value::Int(seconds)) => {
                    memory.idle_s = Some(seconds.unsigned_abs());
                    found.lookups.hits += 1;
                }
                Some(Value::Nil) => found.lookups.misses += 1,
                // An error because of another memory policy comes after the key was looked up.
                Some(reply)
                    if conn.fault(&reply).is_some_and(|f| {
                        f.kind == RedisErrorKind::CommandError && !f.is_unknown_command()
                    }) =>
                {
                    found.lookups.hits += 1;
                }
                _ => {}
            }
        }
        if *kind {
            match replies.next() {
                // `none` is the answer for a key that is gone.
                Some(Value::SimpleString(kind)) if kind != "none" => {
                    memory.kind = Some(kind);
                    found.lookups.hits += 1;
                }
                Some(Value::SimpleString(_)) => found.lookups.misses += 1,
                _ => {}
            }
        }
        found.memories.push(memory);
    }
    Ok(found)
}
