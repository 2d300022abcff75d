//! Limits that are not settings: name, unit, and the reason for the size.

/// Bytes of a file with certificates, keys, or credentials.
pub const LOGIN_FILE_BYTES_MAX: u64 = 4 << 20;
