//! Runs keysweep's scripts on old and new servers. Redis 7.0 and Valkey read flags from a script's first line; Redis
//! 6.2 rejects that line, and needs another first line instead.

use redis::Value;

use super::conn::Conn;
use super::error::{RedisError, RedisErrorKind};

/// The first lines of scripts that must run at full memory, for Redis 7.0 and newer: with keys of several slots, and
/// with those of one.
const CROSSING: &str = "#!lua flags=allow-oom,allow-cross-slot-keys\n";
const FLAGS: &str = "#!lua flags=allow-oom\n";

/// The replacement for Redis 6.2: a script that has begun a write may continue to write at full memory, regardless of
/// the result of the first write. This write is rejected for its argument, so it has no effect.
const FIRST_WRITE: &str = "redis.pcall('PEXPIRE', KEYS[1], 'none')\n";

/// `script` for Redis 6.2. Scripts without flags need no change.
fn older(script: &str) -> Option<String> {
    script.strip_prefix(FLAGS).map(|rest| format!("{FIRST_WRITE}{rest}"))
}

/// Whether the server could not read the flags.
fn flags_unsupported(fault: &RedisError) -> bool {
    fault.kind == RedisErrorKind::CommandError && fault.detail.contains("compiling script")
}

/// A script that a server has loaded.
pub(super) struct LoadedScript {
    /// Its SHA-1 for EVALSHA.
    pub(super) sha: Vec<u8>,
    /// Whether the server accepted the flag for keys of several slots.
    pub(super) crosses_slots: bool,
}

/// Loads `script`, which starts with the flags for keys of several slots, with those flags that the server accepts.
pub(super) async fn load(conn: &Conn, script: &str) -> Result<LoadedScript, RedisError> {
    let body = script.strip_prefix(CROSSING).unwrap_or(script);
    let versions = [
        (true, script.to_owned()),
        (false, format!("{FLAGS}{body}")),
        (false, format!("{FIRST_WRITE}{body}")),
    ];
    let mut refused = None;
    for (crosses_slots, text) in versions {
        match conn.command(&[b"SCRIPT", b"LOAD", text.as_bytes()]).await {
            Ok(Value::BulkString(sha)) => return Ok(LoadedScript { sha, crosses_slots }),
            Ok(Value::SimpleString(sha)) => {
                return Ok(LoadedScript { sha: sha.into_bytes(), crosses_slots });
            }
            Ok(_) => return Err(RedisError::unexpected(conn.address(), "SCRIPT LOAD")),
            Err(fault) if fault.kind == RedisErrorKind::CommandError => refused = Some(fault),
            Err(fault) => return Err(fault),
        }
    }
    Err(refused.unwrap_or_else(|| RedisError::unexpected(conn.address(), "SCRIPT LOAD")))
}

/// Runs `script` once, with one key.
pub(super) async fn eval(conn: &Conn, script: &str, key: &[u8], args: &[&[u8]]) -> Result<Value, RedisError> {
    let sent = async |text: &str| {
        let all = [&[b"EVAL".as_slice(), text.as_bytes(), b"1", key], args].concat();
        conn.command(&all).await
    };
    match (sent(script).await, older(script)) {
        (Err(fault), Some(older)) if flags_unsupported(&fault) => sent(&older).await,
        (answer, _) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_replaced_for_redis_6_2() {
        assert_eq!(
            older("#!lua flags=allow-oom\nreturn 1").as_deref(),
            Some("redis.pcall('PEXPIRE', KEYS[1], 'none')\nreturn 1")
        );
        assert_eq!(older("return 1"), None);
        assert!(include_str!("guard.lua").starts_with(CROSSING), "the guard script starts with the flags");
    }
}
