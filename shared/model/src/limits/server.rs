//! Limits that follow from the abilities of servers, and from the queries per key.

use std::time::Duration;

/// Keys that expire at this time or later never count as those of inactive users, in milliseconds of a server's clock
/// (in 287,000 years). Numbers in a script have 53 bits, so that it cannot distinguish such times.
pub const EXPIRY_EXACT_BEFORE_MS: u64 = 1 << 53;

/// Fields of a hash whose expiry is queried. Querying 10^6 fields keeps a server busy for a second.
pub const FIELDS_QUERIED_MAX: usize = 100;

/// Keys whose fields are queried in one write.
pub const FIELDS_KEYS_AT_ONCE: usize = 100;

/// How long a reaper caches a server's support for field TTLs.
pub const FIELD_TTLS_KNOWN_FOR: Duration = Duration::from_secs(1);

/// How long a node that could not be reached is not tried again.
pub const DOWN_TIME: Duration = Duration::from_secs(1);

/// The deviation of a server's clock from its expected time at which it counts as set forward or back.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(2);

/// How long a server's clock is compared with the local clock from one reference point: two good clocks drift apart by
/// less than a second in that time. Longer than any grace.
pub const CLOCK_COMPARED_FOR: Duration = Duration::from_secs(600);

/// The maximum number of connections of a process to one server.
pub const CONNECTIONS_MAX: usize = 4;

/// The number of these that list keys: one per concurrent task at a server.
pub const LISTINGS_AT_ONCE: usize = 2;

/// How long a refused connection is retried before a run is refused: the server still counts connections that this
/// machine has just closed.
pub const CONNECTIONS_WAIT: Duration = Duration::from_millis(150);

/// The largest value that is compared with its state at the scan (`verify = "value"`), in bytes: as much as one script
/// call compares ([`super::BACKUP_WRITE_BYTES`]), because the server does not serve other clients meanwhile.
pub const VERIFY_VALUE_BYTES_MAX: u64 = 1 << 20;
