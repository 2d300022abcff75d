//! Sends several commands as one transaction (MULTI, EXEC), for locks and guards on servers that run no scripts.

use redis::Value;

use super::conn::{Batch, Conn};
use super::error::RedisError;

/// Sends `commands` as one transaction. `None` if a watched key had changed, so that nothing was done; otherwise the
/// transaction ran, and the inner error is that of a command that failed.
///
/// # Errors
/// When the transaction was rejected as a whole.
pub(super) async fn transaction(
    conn: &Conn,
    commands: &[Vec<Vec<u8>>],
) -> Result<Option<Option<RedisError>>, RedisError> {
    let mut batch = Batch::new();
    batch.add(&[b"MULTI"]);
    for command in commands {
        batch.add(&command.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    batch.add(&[b"EXEC"]);
    let replies = conn.batch(batch).await?;
    // The first error has the reason; that of EXEC only states that there was one.
    if let Some(fault) = replies.iter().find_map(|reply| conn.fault(reply)) {
        return Err(fault);
    }
    match replies.last() {
        Some(Value::Nil) => Ok(None),
        Some(Value::Array(done)) => Ok(Some(done.iter().find_map(|reply| conn.fault(reply)))),
        _ => Err(RedisError::unexpected(conn.address(), "EXEC")),
    }
}
