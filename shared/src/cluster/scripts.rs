//! Scripts of ours on servers old and new. Redis 7.0 and Valkey read flags from a script's first line; Redis 6.2 takes
//! that line for a mistake, and needs something else in its place.

use redis::Value;

use super::conn::Conn;
use super::error::{RedisError, RedisErrorKind};

/// The first line of scripts that work at full memory, as servers from Redis 7.0 on read it.
const FLAGS: &str = "#!lua flags=allow-oom\n";

/// What does the same for Redis 6.2: a script that has begun a write may go on writing at full memory, whatever came of
/// the first one. This one is refused for its argument, and so does nothing.
const FIRST_WRITE: &str = "redis.pcall('PEXPIRE', KEYS[1], 'none')\n";

/// `script` for Redis 6.2. Scripts without flags are the same everywhere.
fn older(script: &str) -> Option<String> {
    script.strip_prefix(FLAGS).map(|rest| format!("{FIRST_WRITE}{rest}"))
}

/// Whether the server could not read the flags.
fn unread(fault: &RedisError) -> bool {
    fault.kind == RedisErrorKind::CommandError && fault.detail.contains("compiling script")
}

/// Loads `script` and returns the name by which calls refer to it.
pub(super) async fn load(conn: &Conn, script: &str) -> Result<Vec<u8>, RedisError> {
    let sent = async |text: &str| conn.command(&[b"SCRIPT", b"LOAD", text.as_bytes()]).await;
    let loaded = match (sent(script).await, older(script)) {
        (Err(fault), Some(older)) if unread(&fault) => sent(&older).await,
        (sent, _) => sent,
    };
    match loaded? {
        Value::BulkString(sha) => Ok(sha),
        Value::SimpleString(sha) => Ok(sha.into_bytes()),
        _ => Err(RedisError::unexpected(conn.address(), "SCRIPT LOAD")),
    }
}

/// Runs `script` once, with one key.
pub(super) async fn eval(conn: &Conn, script: &str, key: &[u8], args: &[&[u8]]) -> Result<Value, RedisError> {
    let sent = async |text: &str| {
        let all = [&[b"EVAL".as_slice(), text.as_bytes(), b"1", key], args].concat();
        conn.command(&all).await
    };
    match (sent(script).await, older(script)) {
        (Err(fault), Some(older)) if unread(&fault) => sent(&older).await,
        (answer, _) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_replaced_where_there_are_some() {
        assert_eq!(
            older("#!lua flags=allow-oom\nreturn 1").as_deref(),
            Some("redis.pcall('PEXPIRE', KEYS[1], 'none')\nreturn 1")
        );
        assert_eq!(older("return 1"), None);
        assert!(
            older(include_str!("guard.lua")).is_some(),
            "the first line of the guard is as it is replaced"
        );
    }
}
