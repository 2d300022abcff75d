//! Limits of reading servers whose cursors are not positions in a hash table.

/// Cursors from here on belong to no hash table: one of 2^40 buckets takes 8 TiB before its first key.
pub const TABLE_CURSORS_MAX: u64 = 1 << 40;

/// Keys that one task remembers (20 bytes each), because SCAN may list a key twice, about: a task that has as many reads no
/// further, and hands back the rest. Tasks are planned with less than a quarter of it but for servers that are read in
/// one lane: the count is approximate there if it takes several tasks.
pub const LANE_KEYS_MAX: usize = 450_000;

/// Pages of SCAN by which a plan judges the cursors of a server. Of eight random cursors, all rise once in 40,000 times.
pub const CURSOR_PAGES: usize = 8;

/// `COUNT` of these pages.
pub const CURSOR_PAGE_KEYS: u32 = 10;

/// How many times (as a power of two) a table may be larger than its keys before its cursors are held for opaque. One
/// that is larger is read in one lane, which is slower and as exact.
pub const TABLE_SPARE_BITS: u32 = 8;

/// Positions that a scan asks for before it is given up, beside those of a table that is that much larger than its keys:
/// a server whose counts are old may hold so many. At `COUNT 1000` that are 268,000 pages.
pub const SCAN_SPARE_POSITIONS: u64 = 1 << 28;

/// How many positions for each of its `COUNT` a page goes through at most where they are empty, in Redis and Valkey.
pub const EMPTY_PAGE_FACTOR: u64 = 10;

/// Tasks, as a power of two at most, that the tables of one node are cut into: a server may claim any number of keys. With
/// 100,000 keys each, they are 1.6 billion; where there are more, tasks are larger.
pub const TASKS_OF_TABLES_MAX: u64 = 1 << 14;
