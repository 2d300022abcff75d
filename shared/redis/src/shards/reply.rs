//! Access to the parts of RESP2 and RESP3 replies: RESP3 has maps, RESP2 has arrays of alternating names and values
//! instead.

use std::borrow::Cow;

use redis::Value;

use crate::limits::SHARDS_MAX;
use crate::parse_error::ParseError;

/// The elements of an array or set, at most twice [`SHARDS_MAX`]; `what` names it in the error.
///
/// # Errors
/// On any other reply.
pub(super) fn items<'a>(value: &'a Value, what: &'static str) -> Result<&'a [Value], ParseError> {
    match value {
        Value::Array(items) | Value::Set(items) if items.len() <= 2 * SHARDS_MAX => Ok(items),
        _ => Err(ParseError::of_value(what, value)),
    }
}

/// The value under `name` in a map, or in an array of alternating names and values.
pub(super) fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let named = |key: &Value| text(key).is_some_and(|key| key == name);
    match map {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| named(key)).map(|(_, value)| value),
        Value::Array(flat) => {
            flat.as_chunks::<2>().0.iter().find(|[key, _]| named(key)).map(|[_, value]| value)
        }
        _ => None,
    }
}

/// A text reply, with invalid UTF-8 replaced; `None` for null.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// A slot or a port, as a number or as text.
pub(super) fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
}
