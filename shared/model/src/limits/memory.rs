//! Limits of memory measurements. MEMORY USAGE takes a server about half a microsecond per key, as much as a PTTL.

/// A run that expects no more matching keys than this measures each of them: less than a tenth of a second of server
/// time. Only then is there an upper bound that does not depend on the servers' memory usage.
pub const MEASURED_WHOLE_KEYS: u64 = 150_000;

/// Larger runs measure one in this many keys,
pub const MEASURED_ONE_IN: u64 = 100;

/// the first keys of each prefix in each task,
pub const MEASURED_OF_PREFIX: u64 = 100;

/// and at most this many over all prefixes, or one key in [`MEASURED_ONE_IN`] if that is more.
pub const MEASURED_OUTRIGHT: u64 = 1_000;

/// In tasks of more than 10,000 keys, prefixes to the second colon are counted for one key in this many: counting them
/// for all takes as much time as all other work on a key.
pub const PREFIX_DEEP_ONE_IN: u64 = 8;

/// Keys that are measured in one write.
pub const MEASURED_AT_ONCE: u64 = 500;

/// Approximate bytes of their names: fewer long names are measured per write.
pub const MEASURED_BYTES_AT_ONCE: usize = 256 << 10;

/// An estimate from fewer keys than this is not shown.
pub const MEMORY_SAMPLES_MIN: u64 = 10;

/// Prefixes in the memory statistics of one scan task.
pub const MEMORY_ROWS_OF_TASK: usize = 256;

/// Prefixes in the freed memory of one receipt.
pub const MEMORY_ROWS_OF_RECEIPT: usize = 64;

/// Prefixes in the memory statistics that are read from one message.
pub const MEMORY_ROWS_SENT_MAX: usize = 512;

/// Prefixes in the memory statistics of a run.
pub const MEMORY_ROWS_MAX: usize = 2_048;

/// In a run of at most this many candidates by the plan's estimate, each is measured before it is deleted. The
/// estimate may be twice the real number, so that runs of up to 10,000 candidates always measure all.
pub const FREED_EXACT_CANDIDATES: u64 = 20_000;

/// With more candidates, one in this many is measured.
pub const FREED_ONE_IN: u64 = 50;

/// The maximum of a node's keys to delete that a plan measures, if it has read all keys of the node,
pub const PLAN_MEASURED_ALL: usize = 10_000;

/// and if it has read a sample of them.
pub const PLAN_MEASURED: usize = 1_000;
