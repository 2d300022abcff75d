//! The keys of a world, and what should become of each.

use crate::redis::deployment::Deployment;
use crate::redis::keyspace::Value;

/// What keysweep is asked to clean.
pub(crate) const PATTERN: &str = "cache:*";

/// What it must not touch.
pub(crate) const PROTECTED: &str = "cache:keep:*";

/// The name of a key of the world.
pub(crate) fn name(key: usize) -> Vec<u8> {
    match key % 10 {
        0 => format!("other:{key}"),
        1 => format!("cache:keep:{key}"),
        _ => format!("cache:{{{}}}:{key}", key / 3),
    }
    .into_bytes()
}

/// Whether a run may change the key with this name, if it has no TTL.
pub(crate) fn may_change(name: &[u8]) -> bool {
    name.starts_with(b"cache:") && !name.starts_with(b"cache:keep:")
}

/// Writes all keys: a third of them with a TTL.
pub(crate) fn seed(deployment: &mut Deployment, keys: usize, now_ms: u64) {
    for key in 0..keys {
        let ttl_ms = (key % 3 == 2).then_some(10_000_000);
        let value = match key % 17 {
            0 => Value::Other("hash", 3),
            _ => Value::Text(format!("value {key}").into_bytes()),
        };
        deployment.write(&name(key), value, ttl_ms, now_ms);
    }
    (0..deployment.nodes.len()).for_each(|at| deployment.replicate(at));
}
