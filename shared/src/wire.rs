//! The codec of what stages tell each other: a format version, then MessagePack with named fields.
//! Nothing else names `rmp_serde`. What people and other programs read is JSON and not made here.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::limits::MESSAGE_BYTES_MAX;

/// The format that this build writes, and the only one that it reads.
pub const FORMAT: u8 = 1;

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
    #[error("a message of format {0}, but this build reads format {FORMAT}; use the same version everywhere")]
    Format(u8),
    /// The body could not be written.
    #[error("failed to encode a message")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The body is not what was expected.
    #[error("failed to decode a message")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// Encodes `message`.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![FORMAT];
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
        Some((&FORMAT, body)) => Ok(rmp_serde::from_slice(body)?),
        Some((&other, _)) => Err(WireError::Format(other)),
    }
}
