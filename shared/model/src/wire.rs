//! The codec of messages between stages: a format version, then MessagePack with named fields. The only file that uses
//! `rmp_serde`. Output for people and other programs is JSON, and is created elsewhere.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::limits::{DOCUMENT_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX, REASON_BYTES_MAX};
use crate::printable::one_line;

/// The default format. A message must use another one if a worker that does not support a part of it must reject it.
pub const FORMAT: u8 = 1;

/// The format of batches with value fingerprints.
pub const FORMAT_VERIFIED: u8 = 2;

/// The format of batches with node ledgers.
pub const FORMAT_NODE_LEDGERS: u8 = 3;

/// The format of runs with rules, and of their batches.
pub const FORMAT_RULES: u8 = 4;

/// The latest format that this build reads.
pub const FORMAT_LATEST: u8 = FORMAT_RULES;

/// Why a message could not be encoded or decoded.
#[derive(Debug, Error)]
pub enum WireError {
    /// The message exceeds the size limit.
    #[error("a message of {0} bytes is larger than the limit of {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// The version is missing.
    #[error("an empty message")]
    Empty,
    /// Written by another version of keysweep.
    #[error(
        "a message of format {0}, but this build reads formats up to {FORMAT_LATEST}; use the same version everywhere"
    )]
    Format(u8),
    /// The body could not be encoded.
    #[error("failed to encode a message")]
    Encode(#[from] rmp_serde::encode::Error),
    /// It is nested too deeply.
    #[error("a message that is nested more than {MESSAGE_DEPTH_MAX} deep")]
    TooDeep,
    /// The body is invalid. The text repeats at most one line of it.
    #[error("failed to decode a message: {0}")]
    Decode(String),
    /// A document exceeds the size limit.
    #[error("a document of {0} bytes is larger than the limit of {DOCUMENT_BYTES_MAX}")]
    LongDocument(usize),
}

/// Encodes `message`.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    encode_as(FORMAT, message)
}

/// Encodes `message` in `format`, which determines the workers that accept it.
pub fn encode_as<T: Serialize>(format: u8, message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![format];
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    message.serialize(&mut serializer)?;
    if bytes.len() > MESSAGE_BYTES_MAX { Err(WireError::TooLarge(bytes.len())) } else { Ok(bytes) }
}

/// Decodes a message; unknown fields are ignored, so fields may be added within a format.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLarge(bytes.len()));
    }
    match bytes.split_first() {
        None => Err(WireError::Empty),
        Some((&(FORMAT..=FORMAT_LATEST), body)) => {
            let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
            deserializer.set_max_depth(MESSAGE_DEPTH_MAX);
            T::deserialize(&mut deserializer).map_err(|e| match e {
                rmp_serde::decode::Error::DepthLimitExceeded => WireError::TooDeep,
                e => WireError::Decode(shortened(&e.to_string())),
            })
        }
        Some((&other, _)) => Err(WireError::Format(other)),
    }
}

/// Decodes a JSON document from the store or from a client. The library limits nesting to 128.
///
/// # Errors
/// If it is too long, or invalid.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(WireError::LongDocument(bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(|e| WireError::Decode(shortened(&e.to_string())))
}

/// The beginning of `text`, on one line: it may be untrusted.
#[must_use]
pub fn shortened(text: &str) -> String {
    let plain = one_line(text);
    match plain.char_indices().find(|(at, c)| at + c.len_utf8() > REASON_BYTES_MAX) {
        Some((at, _)) => format!("{}…", &plain[..at]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::messages::{Group, ScanTask};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    #[test]
    fn too_large_too_deep_or_invalid_input_gives_a_short_error() {
        let check = |bytes: Vec<u8>, expected: &str| {
            let said = decode::<ScanTask>(&bytes).expect_err("it is refused").to_string();
            assert!(said.contains(expected) && said.len() < REASON_BYTES_MAX + 100, "{said}");
        };
        check(vec![FORMAT; MESSAGE_BYTES_MAX + 1], "is larger than the limit of");
        check(Vec::new(), "an empty message");
        check(vec![FORMAT_LATEST + 1], "of format 5");
        // In an unknown field, which is skipped.
        let nested = [&[FORMAT, 0x81, 0xa1, b'x'][..], &[0x91; 1_000], &[0xc0]].concat();
        check(nested, "nested more than 32 deep");
        // An array that claims four billion items.
        check(
            vec![FORMAT, 0x81, 0xa4, b'k', b'e', b'y', b's', 0xdd, 0xff, 0xff, 0xff, 0xff],
            "failed to decode",
        );
        let claimed = [&[FORMAT, 0x94, 0, 0xa5][..], b"Stale", &[0xdd, 0xff, 0xff, 0xff, 0xff]].concat();
        assert!(decode::<Group>(&claimed).is_err());
    }

    #[test]
    fn errors_repeat_only_the_beginning_of_input() {
        let name = "x\n".repeat(100_000);
        let said = from_json::<Empty>(format!("{{\"{name}\": 1}}").as_bytes()).expect_err("no such field");
        assert!(said.to_string().len() < 600, "{} bytes", said.to_string().len());
        assert!(!said.to_string().contains('\n'), "{said}");
        let long = vec![b' '; DOCUMENT_BYTES_MAX + 1];
        assert!(matches!(from_json::<Empty>(&long), Err(WireError::LongDocument(_))));
        let deep = "[".repeat(100_000);
        assert!(matches!(from_json::<serde_json::Value>(deep.as_bytes()), Err(WireError::Decode(_))));
    }
}
