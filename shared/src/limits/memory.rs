//! Limits of what is asked about the memory of keys. MEMORY USAGE takes a server about half a microsecond a key, which is
//! what a PTTL takes.

/// A run that expects no more matching keys than this measures each of them: less than a tenth of a second of the
/// servers' time. Only then is there an upper bound that does not depend on how much memory the servers use.
pub const MEASURED_WHOLE_KEYS: u64 = 150_000;

/// In larger runs, one in so many keys is measured,
pub const MEASURED_ONE_IN: u64 = 100;

/// and the first ones of each prefix in each task,
pub const MEASURED_OF_PREFIX: u64 = 100;

/// of all prefixes together so many at most, or one key in [`MEASURED_ONE_IN`] if that is more.
pub const MEASURED_OUTRIGHT: u64 = 1_000;

/// In tasks of more than 10,000 keys, prefixes to the second colon are counted of one key in so many: to count them of all
/// costs as much time as all else that is done with a key.
pub const PREFIX_DEEP_ONE_IN: u64 = 8;

/// Keys that are measured in one write.
pub const MEASURED_AT_ONCE: u64 = 500;

/// Bytes of the names of these, about: longer names are measured fewer at a time.
pub const MEASURED_BYTES_AT_ONCE: usize = 256 << 10;

/// A figure that rests on fewer keys than this is not shown.
pub const MEMORY_SAMPLES_MIN: u64 = 10;

/// Prefixes whose memory one scan task tells.
pub const MEMORY_ROWS_OF_TASK: usize = 256;

/// Prefixes whose freed memory one receipt tells.
pub const MEMORY_ROWS_OF_RECEIPT: usize = 64;

/// Prefixes whose memory is read out of one message.
pub const MEMORY_ROWS_SENT_MAX: usize = 512;

/// Prefixes whose memory is kept of a run.
pub const MEMORY_ROWS_MAX: usize = 2_048;

/// Up to so many candidates of a run, by the plan's estimate, each is measured before it is deleted. The estimate may be
/// twice what there is, so that this is so for 10,000 candidates in any case.
pub const FREED_EXACT_CANDIDATES: u64 = 20_000;

/// Of more candidates, one in so many is.
pub const FREED_ONE_IN: u64 = 50;

/// Keys of a node that would be deleted and that a plan measures at most, if it has seen all keys of the node,
pub const PLAN_MEASURED_ALL: usize = 10_000;

/// and if it has seen a sample of them.
pub const PLAN_MEASURED: usize = 1_000;
