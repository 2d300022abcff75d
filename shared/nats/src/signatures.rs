//! Signatures in NATS: each is sent in a header next to the message, whose payload stays unchanged.
//! `shared/signing/src/lib.rs` defines what is signed and how.

use async_nats::HeaderMap;
use async_nats::header::NATS_STREAM;
use keysweep_signing::Authority;

/// The header with the signature of an order.
pub(super) const SIGNATURE: &str = "Keysweep-Signature";

/// How a message of a stream was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadPath {
    /// As stored.
    Stored,
    /// By a direct get, which adds the message's position to its headers.
    Direct,
}

/// Whether JetStream published this message as a reply, and it was then stored in a stream: it has the headers of such
/// a reply.
pub(super) fn is_redirected(headers: &HeaderMap, read: ReadPath) -> bool {
    headers.get_all(NATS_STREAM).count() > usize::from(read == ReadPath::Direct)
}

/// The signature of the order at `place`; `None` where no signature is required.
///
/// # Errors
/// When one is required and there is no signing key.
pub(super) fn signature(
    authority: &Authority,
    place: &str,
    payload: &[u8],
) -> Result<Option<String>, String> {
    match authority.sign(place, payload) {
        None if authority.is_strict() => Err(format!(
            "`{place}` would not be accepted: `[nats] trusted_keys` is set, and `[nats] signing_key_file` is not"
        )),
        signature => Ok(signature),
    }
}
