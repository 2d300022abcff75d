//! Limits of scanning servers whose cursors are not positions in a hash table.

/// Cursors from this value on are not positions in a hash table: one of 2^40 buckets takes 8 TiB before its first key.
pub const TABLE_CURSORS_MAX: u64 = 1 << 40;

/// Approximate number of keys that one task remembers (20 bytes each), because SCAN may list a key twice. A task that
/// reaches it stops and returns the rest. Tasks are planned with less than a quarter of it, except for servers that
/// are read in one lane: there the count is approximate if it takes several tasks.
pub const LANE_KEYS_MAX: usize = 450_000;

/// Pages of SCAN from which a plan classifies the cursors of a server. Eight random cursors are ascending once in
/// 40,000 times.
pub const CURSOR_PAGES: usize = 8;

/// `COUNT` of these pages.
pub const CURSOR_PAGE_KEYS: u32 = 10;

/// How many times (as a power of two) a table may be larger than its keys before its cursors count as opaque. A larger
/// one is read in one lane, which is slower and equally exact.
pub const TABLE_SPARE_BITS: u32 = 8;

/// Positions that a scan visits before it gives up, in addition to those of a table that is that much larger than its
/// keys: a server with outdated counts may have so many. With `COUNT 1000` these are 268,000 pages.
pub const SCAN_SPARE_POSITIONS: u64 = 1 << 28;

/// The maximum number of empty positions per `COUNT` that a page visits, in Redis and Valkey.
pub const EMPTY_PAGE_FACTOR: u64 = 10;

/// The maximum number of tasks for the tables of one node: a server may claim any number of keys. With 100,000 keys
/// each, they cover 1.6 billion; beyond it, tasks are larger.
pub const TASKS_OF_TABLES_MAX: u64 = 1 << 14;
