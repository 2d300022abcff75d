//! The codec of what stages tell each other: a format version, then MessagePack with named fields.
//! Nothing else names `rmp_serde`. What people and other programs read is JSON and not made here.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::limits::{DOCUMENT_BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGE_DEPTH_MAX, REASON_BYTES_MAX};
use crate::printable::one_line;

/// The format that this build writes, unless a message must not be taken by those who know nothing of a part of it.
pub const FORMAT: u8 = 1;

/// That of batches with fingerprints of values. The last one that this build reads.
pub const FORMAT_VERIFIED: u8 = 2;

/// Why a message could not be written or read.
#[derive(Debug, Error)]
pub enum WireError {
    /// The message is larger than a message may be.
    #[error("a message of {0} bytes is larger than the limit of {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// There is not even a version.
    #[error("an empty message")]
    Empty,
    /// Written by another version of keysweep.
    #[error(
        "a message of format {0}, but this build reads formats up to {FORMAT_VERIFIED}; use the same version everywhere"
    )]
    Format(u8),
    /// The body could not be written.
    #[error("failed to encode a message")]
    Encode(#[from] rmp_serde::encode::Error),
    /// It is nested too deeply.
    #[error("a message that is nested more than {MESSAGE_DEPTH_MAX} deep")]
    TooDeep,
    /// The body is not what was expected: why, without more of what was sent than a line.
    #[error("failed to decode a message: {0}")]
    Decode(String),
    /// A document is larger than one may be.
    #[error("a document of {0} bytes is larger than the limit of {DOCUMENT_BYTES_MAX}")]
    LongDocument(usize),
}

/// Encodes `message`.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    encode_as(FORMAT, message)
}

/// Encodes `message` in `format`, which decides who reads it.
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
        Some((&(FORMAT..=FORMAT_VERIFIED), body)) => {
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

/// Reads a JSON document that was kept, or sent, by others. Nesting is bounded by the library, at 128.
///
/// # Errors
/// When it is too long, or not what was expected.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(WireError::LongDocument(bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(|e| WireError::Decode(shortened(&e.to_string())))
}

/// The beginning of `text`, in one line: it may hold what others sent.
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
    fn what_is_too_large_too_deep_or_strange_is_refused_in_a_line() {
        let check = |bytes: Vec<u8>, expected: &str| {
            let said = decode::<ScanTask>(&bytes).expect_err("it is refused").to_string();
            assert!(said.contains(expected) && said.len() < REASON_BYTES_MAX + 100, "{said}");
        };
        check(vec![FORMAT; MESSAGE_BYTES_MAX + 1], "is larger than the limit of");
        check(Vec::new(), "an empty message");
        check(vec![FORMAT_VERIFIED + 1], "of format 3");
        // Under a name that we do not know, so that it is passed over.
        let nested = [&[FORMAT, 0x81, 0xa1, b'x'][..], &[0x91; 1_000], &[0xc0]].concat();
        check(nested, "nested more than 32 deep");
        // An array that claims to have four billion items.
        check(
            vec![FORMAT, 0x81, 0xa4, b'k', b'e', b'y', b's', 0xdd, 0xff, 0xff, 0xff, 0xff],
            "failed to decode",
        );
        let claimed = [&[FORMAT, 0x94, 0, 0xa5][..], b"Stale", &[0xdd, 0xff, 0xff, 0xff, 0xff]].concat();
        assert!(decode::<Group>(&claimed).is_err());
    }

    #[test]
    fn what_was_sent_is_not_repeated_at_length() {
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
