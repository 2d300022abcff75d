//! How much memory keys take, and how long they have not been used: asked of a sample of them.

use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use crate::key::Key;
use crate::messages::Lookups;

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyMemory {
    /// Bytes that it takes, with its name; `None` if it is gone or moved.
    pub bytes: Option<u64>,
    /// Seconds since it was last used; `None` if that was not asked, or the server does not keep it.
    pub idle_s: Option<u64>,
}

/// What was found, and the look-ups that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMemories {
    /// One per key, in their order.
    pub weights: Vec<KeyMemory>,
    /// Look-ups made.
    pub lookups: Lookups,
    /// Why memory could not be asked for, if it could not.
    pub refused: Option<String>,
}

/// Weighs `keys`; asks for the idle time of those that are marked.
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
        let mut weight = KeyMemory::default();
        match replies.next() {
            Some(Value::Int(bytes)) => weight.bytes = Some(bytes.unsigned_abs()),
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
                    weight.idle_s = Some(seconds.unsigned_abs());
                    found.lookups.hits += 1;
                }
                Some(Value::Nil) => found.lookups.misses += 1,
                // Refused because of another memory policy: that is said after the key was looked up.
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
        found.weights.push(weight);
    }
    Ok(found)
}
