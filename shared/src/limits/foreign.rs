//! Limits of what is read from others. Nothing is taken for granted about it: it is cut off at these sizes, refused with a
//! message that names what it was and the limit, and no room is made by what it claims of itself.

/// Names of a node's keys of which the beginnings are told where no key matches: a share is off by 3.1 points at most,
/// 19 times out of 20.
pub const NAMES_KEPT: usize = 1_000;

/// How deep a message may be nested. Ours are not deeper than ten.
pub const MESSAGE_DEPTH_MAX: usize = 32;

/// Keys in one group of a batch: the largest `--delete-batch-size`.
pub const GROUP_KEYS_MAX: usize = 1_000;

/// Ranges of a set of slots: every other slot.
pub const SLOT_RANGES_MAX: usize = 8_192;

/// Bytes of what is told of a failure, wherever that is kept: what failed may have come from anybody.
pub const REASON_BYTES_MAX: usize = 500;

/// Bytes that a server may answer to one write of listings and look-ups. Names of keys are short nearly always; a slot
/// with more than this in one reply is not covered, and the result says so.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

/// Bytes of a line in such an answer, such as the words of an error.
pub const REPLY_LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a text that a server tells of itself: INFO, CLUSTER NODES. Those of a thousand nodes take less than one
/// MiB.
pub const SELF_TOLD_BYTES_MAX: usize = 16 << 20;

/// Shards, and nodes of one shard, in a description of a cluster: it has no more slots.
pub const SHARDS_MAX: usize = 16_384;

/// Bytes of a request to the service, over HTTP or NATS; our requests have a few hundred.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Bytes of a text within a request that is kept or shown, such as who asks.
pub const REQUEST_TEXT_BYTES_MAX: usize = 500;

/// Bytes of a document that is read back from the store: what NATS holds in one message at most.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Bytes of a job file; a wrong path should not fill the memory.
pub const JOB_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a file with a password or a token.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a file with certificates, keys, or a login.
pub const LOGIN_FILE_BYTES_MAX: u64 = 4 << 20;

/// Bytes of the file that keeps the history of runs; it is written anew long before.
pub const HISTORY_FILE_BYTES_MAX: u64 = 512 << 20;
