//! Limits of the parser.

/// The longest name of a key, in bytes. Servers allow 512 MB; a longer one than this ends the reading, because all of it
/// would have to be held.
pub const KEY_BYTES_MAX: u64 = 4 << 20;

/// Bytes of the name or the value of an auxiliary field that are kept; longer ones are skipped. Servers before 7.0 put
/// whole scripts there.
pub(crate) const AUX_BYTES_MAX: u64 = 128;

/// Bytes that one item of the format takes at most, if they must be together: the head of a compressed string with the
/// beginning of its contents.
pub(crate) const ITEM_BYTES_MAX: usize = 64;

/// Compressed bytes of a packed value that are looked at for the number of its elements: enough for its first 10 bytes.
pub(crate) const PEEKED_BYTES_MAX: u64 = 32;

/// Differences between stated and found numbers of keys that are kept; further ones are only counted.
pub(crate) const DIFFERENCES_MAX: usize = 8;

/// Hash slots of a cluster.
pub(crate) const SLOTS: u64 = 16_384;
