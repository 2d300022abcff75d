//! Limits that are not settings: name, unit, and the reason for the size.

/// Keys in one reap batch.
pub const BATCH_KEYS_MAX: usize = 4_000;

/// The longest key that is deleted, in bytes. A longer one does not fit into a message and counts as failed.
pub const KEY_BYTES_MAX: usize = 1_000_000;

/// The largest message, in bytes: one key of [`KEY_BYTES_MAX`] and its envelope.
pub const MESSAGE_BYTES_MAX: usize = KEY_BYTES_MAX + (40 << 10);

/// Bytes of a prefix that are kept; longer ones are cut.
pub const PREFIX_BYTES_MAX: usize = 120;

/// Prefixes for which an example is kept.
pub const PREFIX_SAMPLES_MAX: usize = 1_000;

/// A scan task that finds no active user withholds its keys of inactive users if, by the plan's sample, the
/// probability of finding none was below this. One in a thousand such tasks withholds them without need.
pub const HELD_BACK_CHANCE: f64 = 0.001;

/// Nesting depth of a message. Messages of keysweep have at most ten levels.
pub const MESSAGE_DEPTH_MAX: usize = 32;

/// Keys in one group of a batch: the largest `--delete-batch-size`.
pub const GROUP_KEYS_MAX: usize = 1_000;

/// Reap batches that one report may list. A task that is full of keys has about 40.
pub const TASK_BATCHES_MAX: usize = 1_000;

/// Ranges of a set of slots: every other slot.
pub const SLOT_RANGES_MAX: usize = 8_192;

/// Bytes of a failure's text, wherever it is stored: it may come from an untrusted peer.
pub const REASON_BYTES_MAX: usize = 500;

/// Keys, or members, that a server may report; the sum over all nodes then fits into 64 bits.
pub const COUNT_MAX: u64 = 1 << 49;

/// Bytes of a document that is read from the store: the maximum of one NATS message.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// How many times (as a power of two) a table may be larger than its keys before its cursors count as opaque. A larger
/// one is read in one lane, which is slower and equally exact.
pub const TABLE_SPARE_BITS: u32 = 8;

/// Positions that a scan visits before it gives up, in addition to those of a table that is that much larger than its
/// keys: a server with outdated counts may have so many. With `COUNT 1000` these are 268,000 pages.
pub const SCAN_SPARE_POSITIONS: u64 = 1 << 28;

/// The maximum number of empty positions per `COUNT` that a page visits, in Redis and Valkey.
pub const EMPTY_PAGE_FACTOR: u64 = 10;

/// A run that expects no more matching keys than this measures each of them: less than a tenth of a second of server
/// time. Only then is there an upper bound that does not depend on the servers' memory usage.
pub const MEASURED_WHOLE_KEYS: u64 = 150_000;

/// Larger runs measure one in this many keys,
pub const MEASURED_ONE_IN: u64 = 100;

/// the first keys of each prefix in each task,
pub const MEASURED_OF_PREFIX: u64 = 100;

/// and at most this many over all prefixes, or one key in [`MEASURED_ONE_IN`] if that is more.
pub const MEASURED_OUTRIGHT: u64 = 1_000;

/// An estimate from fewer keys than this is not shown.
pub const MEMORY_SAMPLES_MIN: u64 = 10;

/// Keys that break a rule in one way and are named.
pub const EXAMPLES_MAX: usize = 10;

/// Bytes of such a name that are kept.
pub const EXAMPLE_BYTES_MAX: usize = 200;

/// Prefixes in the memory statistics of one scan task.
pub const MEMORY_ROWS_OF_TASK: usize = 256;

/// Prefixes in the memory statistics that are read from one message.
pub const MEMORY_ROWS_SENT_MAX: usize = 512;

/// Prefixes in the memory statistics of a run.
pub const MEMORY_ROWS_MAX: usize = 2_048;

/// With more candidates, one in this many is measured.
pub const FREED_ONE_IN: u64 = 50;

/// Details of one kind (long keys, causes) that a result names; the rest is only counted.
pub const DETAILS_MAX: usize = 10;

/// In tasks of more than 10,000 keys, prefixes to the second colon are counted for one key in this many: counting them
/// for all takes as much time as all other work on a key.
pub const PREFIX_DEEP_ONE_IN: u64 = 16;

/// Keys that are measured in one write.
pub const MEASURED_AT_ONCE: u64 = 500;

/// The largest value that is compared with its state at the scan (`verify = "value"`), in bytes: as much as one script
/// call compares (`BACKUP_WRITE_BYTES`), because the server does not serve other clients meanwhile.
pub const VERIFY_VALUE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of names that one write of a scan task may list; the rest is requested again. Only relevant for very long
/// names.
pub const WINDOW_BYTES_MAX: usize = 2 << 20;

/// Encoded bytes of candidates that one scan task collects before it commits them and returns the rest of its range.
pub const TASK_CANDIDATE_BYTES_MAX: usize = 4 << 20;
