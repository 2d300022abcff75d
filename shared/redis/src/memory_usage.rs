//! Queries the memory usage and the idle time of a sample of keys.

use keysweep_model::key::Key;
use keysweep_model::messages::Lookups;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};

/// The memory usage and idle time of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyMemory {
    /// Bytes that it uses, including its name; `None` if it is gone or moved.
    pub bytes: Option<u64>,
    /// Seconds since its last use; `None` if not queried, or if the server does not keep it.
    pub idle_s: Option<u64>,
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

/// Queries the memory usage of `keys`, and the idle time of those that are marked.
pub async fn memory_usage(conn: &Conn, keys: &[(Key, bool)]) -> Result<KeyMemories, RedisError> {
    let mut batch = Batch::new();
    for (key, idle) in keys {
        batch.add(&[b"MEMORY", b"USAGE", key.as_bytes()]);
        if *idle {
            batch.add(&[b"OBJECT", b"IDLETIME", key.as_bytes()]);
        }
    }
    let mut replies = conn.batch(batch).await?.into_iter();
    let mut found = KeyMemories::default();
    for (_, idle) in keys {
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
        found.memories.push(memory);
    }
    Ok(found)
}
