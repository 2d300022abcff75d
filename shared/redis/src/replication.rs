//! Determines whether writes to a primary would survive a failover.

use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, sleep};

use super::conn::Conn;
use super::error::{RedisError, RedisErrorKind};
use super::info::{Info, part};
use super::reply::text;
use crate::limits::{REPLICA_WAIT, REPLICAS_CAUGHT_UP_WAIT};

/// The interval between two reads of the replicas' offsets; a replica reports its own about once a second.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The state of a primary's replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationState {
    /// The primary has no replicas.
    None,
    /// All replicas have what had been written when they were queried.
    InStep,
    /// Not all replicas caught up in time.
    Behind,
}

/// Waits until `replicas` replicas have what was written over `conn`, which must be used exclusively: WAIT blocks the
/// connection. `false` on a timeout, or if the user may not run WAIT.
pub async fn wait(conn: &Conn, replicas: u64) -> Result<bool, RedisError> {
    let ms = REPLICA_WAIT.as_millis();
    match conn.info_text(&format!("WAIT {replicas} {ms}")).await {
        Ok(Value::Int(count)) => Ok(u64::try_from(count).is_ok_and(|count| count >= replicas)),
        Ok(_) => Err(RedisError::unexpected(conn.address(), "WAIT")),
        Err(fault)
            if matches!(fault.kind, RedisErrorKind::PermissionDenied | RedisErrorKind::CommandError) =>
        {
            Ok(false)
        }
        Err(fault) => Err(fault),
    }
}

/// The number of connected replicas of a primary.
pub async fn connected(conn: &Conn) -> Result<u64, RedisError> {
    Ok(ask(conn).await?.number("connected_slaves").unwrap_or_default())
}

async fn ask(conn: &Conn) -> Result<Info, RedisError> {
    Ok(Info::parse(text(conn, "INFO replication", conn.info_text("INFO replication").await?)?))
}

/// Waits until all replicas of a primary have everything written there so far, by any client. The result is valid for
/// the returned replication id; `None` if the server does not report one.
pub async fn caught_up(conn: &Conn) -> Result<(Option<String>, ReplicationState), RedisError> {
    let until = Instant::now() + REPLICAS_CAUGHT_UP_WAIT;
    let mut wanted = None;
    loop {
        let info = ask(conn).await?;
        let replication_id =
            info.text("master_replid").filter(|replication_id| !replication_id.is_empty()).map(str::to_owned);
        let (offset, offsets) = offsets(&info);
        if offsets.is_empty() {
            return Ok((replication_id, ReplicationState::None));
        }
        let (first, wanted) = &*wanted.get_or_insert((replication_id.clone(), offset));
        // A server that has just become a primary does not have our writes.
        if *first == replication_id && offsets.iter().all(|has| has >= wanted) {
            return Ok((replication_id, ReplicationState::InStep));
        }
        if *first != replication_id || Instant::now() >= until {
            return Ok((replication_id, ReplicationState::Behind));
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// The offset of the primary, and that of each replica; a replica whose link is down counts as 0.
fn offsets(info: &Info) -> (u64, Vec<u64>) {
    let offset = |n: u64| {
        let line = info.text(&format!("slave{n}"))?;
        let online = part(line, "state") == Some("online");
        Some(part(line, "offset").filter(|_| online).and_then(|offset| offset.parse().ok()).unwrap_or(0))
    };
    let replicas = info.number("connected_slaves").unwrap_or_default();
    let offsets = (0..replicas).map(|n| offset(n).unwrap_or(0)).collect();
    (info.number("master_repl_offset").unwrap_or(u64::MAX), offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_that_is_not_online_counts_as_empty() {
        let check = |text: &str, expected: (u64, &[u64])| {
            let (offset, offsets) = offsets(&Info::parse(text));
            assert_eq!((offset, &offsets[..]), expected, "{text}");
        };
        check("role:master\r\nconnected_slaves:0\r\nmaster_repl_offset:7\r\n", (7, &[]));
        let online = "slave0:ip=127.0.0.1,port=1,state=online,offset=14,lag=1\r\n";
        let loading = "slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n";
        check(&format!("connected_slaves:1\r\n{online}master_repl_offset:14\r\n"), (14, &[14]));
        check(&format!("connected_slaves:2\r\n{online}{loading}master_repl_offset:20\r\n"), (20, &[14, 0]));
        check("connected_slaves:1\r\nmaster_repl_offset:20\r\n", (20, &[0]));
    }
}
