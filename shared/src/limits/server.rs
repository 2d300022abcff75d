//! Limits that come from what servers can do, and from what we ask of them about one key.

/// Keys that expire at this moment or later are never taken for those of inactive users, in milliseconds of a server's
/// clock (in 287,000 years). A script has numbers of 53 bits, so it cannot tell such moments apart.
pub const EXPIRY_EXACT_BEFORE_MS: u64 = 1 << 53;
