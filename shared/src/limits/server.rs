//! Limits that come from what servers can do, and from what we ask of them about one key.

use std::time::Duration;

/// Keys that expire at this moment or later are never taken for those of inactive users, in milliseconds of a server's
/// clock (in 287,000 years). A script has numbers of 53 bits, so it cannot tell such moments apart.
pub const EXPIRY_EXACT_BEFORE_MS: u64 = 1 << 53;

/// Fields of a hash that are asked when they expire. To ask all of 10^6 keeps a server busy for a second.
pub const FIELDS_ASKED_MAX: usize = 100;

/// Keys whose fields are asked for in one write.
pub const FIELDS_KEYS_AT_ONCE: usize = 100;

/// For how long a reaper goes by what a server said of field TTLs, before it asks again.
pub const FIELD_TTLS_KNOWN_FOR: Duration = Duration::from_secs(1);

/// How long a node that could not be reached is not tried again.
pub const DOWN_TIME: Duration = Duration::from_secs(1);

/// How far the clock of a server may be from where it should be by ours before it counts as set forward or back.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(2);

/// How long the clock of a server is compared with ours from one moment on: two good clocks drift apart by less than a
/// second in that time. Longer than any grace.
pub const CLOCK_COMPARED_FOR: Duration = Duration::from_secs(600);

/// Connections that a process has to one server at most, whatever it does there.
pub const CONNECTIONS_MAX: usize = 4;

/// Connections of these that list keys: one for each task that is at work at a server.
pub const LISTINGS_AT_ONCE: usize = 2;

/// For how long a server is asked again whether it takes as many connections, before a run is refused: those that this
/// machine has just closed are counted there until it has noticed.
pub const CONNECTIONS_WAIT: Duration = Duration::from_millis(150);

/// The largest value that is compared with what it was at the scan (`verify = "value"`), in bytes: as much as one script call
/// compares ([`super::BACKUP_WRITE_BYTES`]), because the server serves nobody else meanwhile.
pub const VERIFY_VALUE_BYTES_MAX: u64 = 1 << 20;
