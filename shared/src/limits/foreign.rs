//! Limits of what is read from others. Nothing is taken for granted about it: it is cut off at these sizes, refused with a
//! message that names what it was and the limit, and no room is made by what it claims of itself.

use std::time::Duration;

/// Names of a node's keys of which the beginnings are told where no key matches: a share is off by 3.1 points at most,
/// 19 times out of 20.
pub const NAMES_KEPT: usize = 1_000;

/// Bytes of names that the sample of one node holds: a sample that reaches it is smaller than it was to be.
pub const SAMPLE_BYTES_MAX: usize = 2 << 20;

/// The same over all nodes of a large cluster, about.
pub const SAMPLE_BYTES_SUM: usize = 16 << 20;

/// Bytes of names that the sample of a node may hold however many nodes there are.
pub const SAMPLE_BYTES_LEAST: usize = 8 << 10;

/// How deep a message may be nested. Ours are not deeper than ten.
pub const MESSAGE_DEPTH_MAX: usize = 32;

/// Keys in one group of a batch: the largest `--delete-batch-size`.
pub const GROUP_KEYS_MAX: usize = 1_000;

/// Reap batches that one report may list. A task that is full of keys has about 40.
pub const TASK_BATCHES_MAX: usize = 1_000;

/// Ranges of a set of slots: every other slot.
pub const SLOT_RANGES_MAX: usize = 8_192;

/// Bytes of what is told of a failure, wherever that is kept: what failed may have come from anybody.
pub const REASON_BYTES_MAX: usize = 500;

/// Bytes of a line in an answer to a listing or look-up, such as the words of an error.
pub const REPLY_LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a text that a server tells of itself: INFO, CLUSTER NODES. Those of a thousand nodes take less than one
/// MiB.
pub const SELF_TOLD_BYTES_MAX: usize = 8 << 20;

/// Shards, and nodes of one shard, in a description of a cluster: it has no more slots.
pub const SHARDS_MAX: usize = 16_384;

/// Bytes of a host name, by the rules of DNS.
pub const HOST_BYTES_MAX: usize = 255;

/// Bytes of the name by which a cluster calls a node. Redis and Valkey give names of 40 bytes.
pub const NODE_ID_BYTES_MAX: usize = 128;

/// Keys, or members, that a server may say it has; those of all nodes together fit in 64 bits then.
pub const COUNT_MAX: u64 = 1 << 49;

/// Bytes of a request to the service, over HTTP or NATS; our requests have a few hundred.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Bytes of a text within a request that is kept or shown, such as who asks.
pub const REQUEST_TEXT_BYTES_MAX: usize = 500;

/// Bytes of a document that is read back from the store: what NATS holds in one message at most.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Places of one backup file, and of a restoration, that are named because they are not intact; of the others the number
/// is told.
pub const DAMAGES_NAMED_MAX: usize = 1_000;

/// Different reasons why keys could not be put back that a restoration names.
pub const RESTORE_CAUSES_MAX: usize = 100;

/// Bytes of a job file; a wrong path should not fill the memory.
pub const JOB_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a file with a password or a token.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a file with certificates, keys, or a login.
pub const LOGIN_FILE_BYTES_MAX: u64 = 4 << 20;

/// Entries that the file with the history of runs keeps, where there is no NATS: a sample per hour for months.
pub const FILE_ENTRIES_MAX: usize = 10_000;

/// Lines of that file that may be out of date before it is written anew.
pub const FILE_LINES_SPARE: u64 = 200;

/// Bytes of the file that keeps the history of runs. It is written again at half of this, with a quarter.
pub const HISTORY_FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of one line of it: an entry, which over NATS has a message's size at most, as an escaped text.
pub const HISTORY_LINE_BYTES_MAX: u64 = 4 << 20;

/// The largest revision that is read from a file: what a number in JSON holds exactly everywhere. Ours grow by one
/// with each entry.
pub const REVISION_MAX: u64 = 1 << 53;

/// How long a lock of a file of ours is tried. Others of ours hold it for milliseconds.
pub const FILE_LOCK_WAIT: Duration = Duration::from_secs(5);

/// The pause between two tries.
pub const FILE_LOCK_POLL: Duration = Duration::from_millis(10);

/// How long using a file of ours may take, waiting for its lock included, until the file is given up.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(30);
