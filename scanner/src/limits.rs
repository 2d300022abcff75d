//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

use keysweep_model::limits::MESSAGE_BYTES_MAX;

/// A slot with more keys than this is giant: it is read in cursor ranges, not in one reply.
pub const SLOT_KEYS_MAX: u64 = 10_000;

/// Listing commands in one write of a scan task.
pub const WINDOW_LISTINGS_MAX: usize = 64;

/// Cursors that a task follows concurrently, so that small pages still fill a write.
pub const LANES_MAX: u32 = 8;

/// Bytes of keys in one reap batch, unless it is a single key.
pub const BATCH_BYTES_MAX: usize = 512 << 10;

/// The maximum of keys in the last part of their TTL for which a scan task queries the idle time.
pub const LATE_SAMPLES: u64 = 200;

/// Matching keys of a skipped node that are read nevertheless: their share has an error of at most 3.1 points, 19
/// times out of 20.
pub const SKIPPED_SAMPLE_KEYS: u64 = 1_000;

/// Ack deadlines after which a throttled task reports what it has and returns the rest: otherwise it would look lost
/// (see `TASK_AGAIN_ACK_WAITS`).
pub const PACED_TASK_ACK_WAITS: u32 = 4;

/// Users that a scan task distinguishes until it finds an active one: 0.5 MiB of hashes.
pub const TASK_USERS_MAX: usize = 65_536;

/// Names of a node's keys that are kept to report their namespaces if no key matches: a share has an error of at most
/// 3.1 points, 19 times out of 20.
pub const NAMES_KEPT: usize = 1_000;

/// Bytes of names in the sample of one node; a sample that reaches it is smaller than planned.
pub const SAMPLE_BYTES_MAX: usize = 2 << 20;

/// Cursors from this value on are not positions in a hash table: one of 2^40 buckets takes 8 TiB before its first key.
pub const TABLE_CURSORS_MAX: u64 = 1 << 40;

/// Encoded bytes of candidates that a scan task collects before it commits them and returns the rest, where that makes no
/// count approximate. In memory they take twice as much, and one process has four tasks.
pub const TASK_CANDIDATE_BYTES: usize = 1 << 20;

/// Approximate number of keys that one task remembers (20 bytes each), because SCAN may list a key twice. A task that
/// reaches it stops and returns the rest. Tasks are planned with less than a quarter of it, except for servers that
/// are read in one lane: there the count is approximate if it takes several tasks.
pub const LANE_KEYS_MAX: usize = 450_000;

/// Approximate bytes of their names: fewer long names are measured per write.
pub const MEASURED_BYTES_AT_ONCE: usize = 256 << 10;

/// Bytes of names of keys that qualify but stay (protected, or only reported) that a scan task adds to the audit log:
/// about 2,000 of them. Deleted keys are listed in full, and must not be displaced by the others.
pub const KEPT_NAMES_BYTES_MAX: usize = 64 << 10;

/// How often a task reports its progress.
pub const TASK_NOTE_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(BATCH_BYTES_MAX < MESSAGE_BYTES_MAX);
