//! The client that most people write first, to compare with: SCAN with COUNT 100, one awaited TTL per key,
//! one UNLINK per key without TTL. It serves the bench only.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use shared::cluster::{Conn, Reply};

/// What the simple client did.
pub(crate) struct Looked {
    /// Keys asked for their TTL.
    pub(crate) keys: u64,
    /// Keys deleted.
    pub(crate) deleted: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Looks at the keys of `nodes`, one node after the other, and stops after about `keys_max` keys.
pub(crate) async fn run(nodes: &[Conn], keys_max: u64) -> Result<Looked> {
    let begin = Instant::now();
    let mut looked = Looked { keys: 0, deleted: 0, took: Duration::ZERO };
    for (index, node) in nodes.iter().enumerate() {
        // Each node gets its share of the sample.
        let stop_at = keys_max * (index as u64 + 1) / nodes.len() as u64;
        let mut cursor = b"0".to_vec();
        loop {
            let scan: [&[u8]; 6] = [b"SCAN", &cursor, b"MATCH", b"permissions:*", b"COUNT", b"100"];
            let (next, keys) = page(node.command(&scan).await?)?;
            for key in keys {
                looked.keys += 1;
                if node.command(&[b"TTL", &key]).await? == Reply::Int(-1) {
                    node.command(&[b"UNLINK", &key]).await?;
                    looked.deleted += 1;
                }
            }
            cursor = next;
            if cursor == b"0" || looked.keys >= stop_at {
                break;
            }
        }
    }
    looked.took = begin.elapsed();
    Ok(looked)
}

fn page(reply: Reply) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let bytes = |reply| if let Reply::BulkString(bytes) = reply { Some(bytes) } else { None };
    if let Reply::Array(parts) = reply
        && let Ok([cursor, Reply::Array(keys)]) = <[Reply; 2]>::try_from(parts)
        && let Some(cursor) = bytes(cursor)
    {
        return Ok((cursor, keys.into_iter().filter_map(bytes).collect()));
    }
    bail!("SCAN answered something else than a cursor and keys")
}
