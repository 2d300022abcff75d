//! Limits that are not settings: name, unit, and the reason for the size.

/// The minimum size of a work queue in NATS, in bytes: the batches of one task, and those of one attempt at it that
/// was cut off.
pub const QUEUE_BYTES_MIN: usize = 16 << 20;

/// The default latency budget, as the settings table writes it: an increase of a sub-millisecond p99 that users do not
/// notice.
pub const LATENCY_BUDGET: &str = "1ms";

/// The maximum replication lag, as the settings table writes it: how long to wait until the replica has what the
/// primary had when the work began. After it, the primary is read.
pub const REPLICA_LAG: &str = "5s";

/// The largest value that is saved before its key is deleted, unless set otherwise, as the settings table writes it,
/// in bytes: reading and comparing a value keeps a server busy.
pub const BACKUP_VALUE_MAX: &str = "4194304";

/// Bytes of a job file; a wrong path should not exhaust memory.
pub const JOB_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a file with a password or a token.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;
