//! Limits that are not settings: name, unit, and the reason for the size.

/// Bytes of values, before compression, at which a backup file is full. A reaper keeps one such file per batch in
/// memory.
pub const BACKUP_FILE_BYTES: usize = 8 << 20;

/// The largest backup file that is read, in bytes: one with the largest permitted value, incompressible, and the keys
/// before it.
pub const BACKUP_READ_MAX: u64 = 272 << 20;

/// Damaged positions of one backup file, and of a restore, that are listed; further ones are only counted.
pub const DAMAGES_NAMED_MAX: usize = 1_000;
