//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// Reap batches of one node that one reaper processes concurrently: while some wait for a disk, others keep the node
/// busy.
pub const BATCHES_PER_NODE: usize = 4;

/// How often writing a backup file is tried before the run is cancelled.
pub const BACKUP_TRIES: u32 = 6;

/// The pause before the second try; it doubles, so that all tries take about six seconds.
pub const BACKUP_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Prefixes in the freed memory of one receipt.
pub const MEMORY_ROWS_OF_RECEIPT: usize = 64;

/// How long a reaper caches a server's support for field TTLs.
pub const FIELD_TTLS_KNOWN_FOR: Duration = Duration::from_secs(1);

/// The deviation of a server's clock from its expected time at which it counts as set forward or back.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(2);

/// How long a server's clock is compared with the local clock from one reference point: two good clocks drift apart by
/// less than a second in that time. Longer than any grace.
pub const CLOCK_COMPARED_FOR: Duration = Duration::from_secs(600);
