//! How signatures travel: in a header beside the message, whose bytes stay as they are. What is signed, and what a
//! signature is, stands in `shared/src/signing.rs`.

use async_nats::HeaderMap;
use async_nats::header::NATS_STREAM;

use crate::signing::Authority;

/// The header with the signature of an order.
pub(super) const SIGNATURE: &str = "Keysweep-Signature";

/// How a message of a stream was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadPath {
    /// As it is stored.
    Stored,
    /// By a direct get, which adds where the message stands to its headers.
    Direct,
}

/// Whether JetStream published this message as an answer to somebody, and it was stored again: then it has the headers
/// that JetStream adds to such an answer.
pub(super) fn is_redirected(headers: &HeaderMap, read: ReadPath) -> bool {
    headers.get_all(NATS_STREAM).count() > usize::from(read == ReadPath::Direct)
}

/// The signature of what belongs at `place`; `None` where orders need none.
///
/// # Errors
/// Where they do, and we have no key.
pub(super) fn signature(
    authority: &Authority,
    place: &str,
    payload: &[u8],
) -> Result<Option<String>, String> {
    match authority.sign(place, payload) {
        None if authority.is_strict() => Err(format!(
            "`{place}` would not be believed: `[nats] trusted_keys` is set, and `[nats] signing_key_file` is not"
        )),
        signature => Ok(signature),
    }
}
