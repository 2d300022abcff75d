//! A cleanup like other tools: one SCAN cursor per node, one node after another, each page's TTLs in one pipeline and
//! its UNLINKs in another. It checks no key again and has neither limits nor pacing.

use anyhow::{Context, Result, bail};
use keysweep_redis::{Batch, Conn, ConnectOptions, Reply};

use crate::bench::data::PATTERN;

/// The COUNT of each SCAN.
const PAGE: &[u8] = b"1000";

/// Cleans the nodes at `urls`, one after the other.
///
/// # Errors
/// Any unexpected reply of a node.
pub(crate) fn run(urls: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(async {
        let access = ConnectOptions::open(urls.to_vec());
        for url in urls {
            clean(&access.connect_dedicated(url).await?).await?;
        }
        Ok(())
    })
}

async fn clean(node: &Conn) -> Result<()> {
    let mut cursor = b"0".to_vec();
    loop {
        let scan: [&[u8]; 6] = [b"SCAN", &cursor, b"MATCH", PATTERN.as_bytes(), b"COUNT", PAGE];
        let (next, keys) = page(node.command(&scan).await?)?;
        let ttls = each(node, b"TTL", keys.iter()).await?;
        let stale = keys.iter().zip(&ttls).filter(|(_, ttl)| **ttl == Reply::Int(-1)).map(|(key, _)| key);
        each(node, b"UNLINK", stale).await?;
        cursor = next;
        if cursor == b"0" {
            return Ok(());
        }
    }
}

/// The replies to `command` for each of `keys`, sent in one pipeline.
async fn each(node: &Conn, command: &[u8], keys: impl Iterator<Item = &Vec<u8>>) -> Result<Vec<Reply>> {
    let mut batch = Batch::new();
    keys.for_each(|key| batch.add(&[command, key]));
    let replies = node.batch(batch).await?;
    match replies.iter().find_map(|reply| node.fault(reply)) {
        Some(fault) => Err(fault.into()),
        None => Ok(replies),
    }
}

fn page(reply: Reply) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let bytes = |reply| if let Reply::BulkString(bytes) = reply { Some(bytes) } else { None };
    if let Reply::Array(parts) = reply
        && let Ok([cursor, Reply::Array(keys)]) = <[Reply; 2]>::try_from(parts)
        && let Some(cursor) = bytes(cursor)
    {
        return Ok((cursor, keys.into_iter().filter_map(bytes).collect()));
    }
    bail!("the reply to SCAN is no cursor with keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_cursor_and_keys() {
        let text = |text: &str| Reply::BulkString(text.into());
        let reply = Reply::Array(vec![text("7"), Reply::Array(vec![text("a"), text("b")])]);
        assert_eq!(page(reply).unwrap(), (b"7".to_vec(), vec![b"a".to_vec(), b"b".to_vec()]));
        assert!(page(Reply::Array(vec![text("7")])).is_err());
    }
}
