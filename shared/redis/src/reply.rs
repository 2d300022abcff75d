//! Replies that are text or numbers.

use keysweep_model::limits::COUNT_MAX;
use redis::Value;

use super::conn::Conn;
use super::error::{RedisError, RedisErrorKind};
use crate::limits::STATUS_TEXT_BYTES_MAX;

/// The text in the reply to `command`.
pub(super) fn text(conn: &Conn, command: &str, reply: Value) -> Result<String, RedisError> {
    let too_long = |bytes: usize| {
        let detail = format!("a reply of {bytes} bytes to `{command}`; the limit is {STATUS_TEXT_BYTES_MAX}");
        RedisError::new(RedisErrorKind::Protocol, conn.address(), detail)
    };
    match reply {
        Value::BulkString(bytes) if bytes.len() > STATUS_TEXT_BYTES_MAX => Err(too_long(bytes.len())),
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. }
            if text.len() > STATUS_TEXT_BYTES_MAX =>
        {
            Err(too_long(text.len()))
        }
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text),
        Value::Okay => Ok("OK".to_owned()),
        other => Err(conn.fault(&other).unwrap_or_else(|| RedisError::unexpected(conn.address(), command))),
    }
}

/// The number in the reply to `command`.
pub(super) fn number(conn: &Conn, command: &str, reply: &Value) -> Result<u64, RedisError> {
    match reply {
        Value::Int(n) if *n >= 0 && n.unsigned_abs() <= COUNT_MAX => Ok(n.unsigned_abs()),
        other => Err(conn.fault(other).unwrap_or_else(|| RedisError::unexpected(conn.address(), command))),
    }
}
