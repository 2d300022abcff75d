//! Limits of untrusted input. Nothing about it is assumed: input beyond these sizes is cut off or refused with a
//! message that names the input and the limit, and no memory is allocated on the strength of sizes that it claims.

use std::time::Duration;

/// Names of a node's keys that are kept to report their prefixes if no key matches: a share has an error of at most
/// 3.1 points, 19 times out of 20.
pub const NAMES_KEPT: usize = 1_000;

/// Bytes of names in the sample of one node; a sample that reaches it is smaller than planned.
pub const SAMPLE_BYTES_MAX: usize = 2 << 20;

/// The same, over all nodes of a large cluster; approximate.
pub const SAMPLE_BYTES_SUM: usize = 16 << 20;

/// Bytes of names that the sample of a node may always have, however many nodes there are.
pub const SAMPLE_BYTES_LEAST: usize = 8 << 10;

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

/// Bytes of a line in a reply to a listing or lookup, such as an error.
pub const REPLY_LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a status text of a server: INFO, CLUSTER NODES. Those of a thousand nodes take less than one MiB.
pub const STATUS_TEXT_BYTES_MAX: usize = 8 << 20;

/// Shards, and nodes of one shard, in the topology of a cluster: it has no more slots.
pub const SHARDS_MAX: usize = 16_384;

/// Bytes of a host name (DNS).
pub const HOST_BYTES_MAX: usize = 255;

/// Bytes of a node id. Redis and Valkey use 40.
pub const NODE_ID_BYTES_MAX: usize = 128;

/// Keys, or members, that a server may report; the sum over all nodes then fits into 64 bits.
pub const COUNT_MAX: u64 = 1 << 49;

/// Bytes of a request to the service, over HTTP or NATS; typical requests have a few hundred.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Bytes of a text within a request that is stored or shown, such as the client's name.
pub const REQUEST_TEXT_BYTES_MAX: usize = 500;

/// Bytes of a document that is read from the store: the maximum of one NATS message.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Damaged positions of one backup file, and of a restore, that are listed; further ones are only counted.
pub const DAMAGES_NAMED_MAX: usize = 1_000;

/// Distinct restore errors that are listed.
pub const RESTORE_CAUSES_MAX: usize = 100;

/// Bytes of a job file; a wrong path should not exhaust memory.
pub const JOB_FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a file with a password or a token.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a file with certificates, keys, or credentials.
pub const LOGIN_FILE_BYTES_MAX: u64 = 4 << 20;

/// Entries of the history file, which is used without NATS: an hourly snapshot for months.
pub const FILE_ENTRIES_MAX: usize = 10_000;

/// Obsolete lines of that file before it is compacted.
pub const FILE_LINES_SPARE: u64 = 200;

/// Bytes of the history file. At half of this it is compacted to a quarter.
pub const HISTORY_FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of one of its lines: an entry, at most as large as a NATS message, as escaped text.
pub const HISTORY_LINE_BYTES_MAX: u64 = 4 << 20;

/// The largest revision that is read from a file: the exact range of a JSON number. Revisions grow by one with each
/// entry.
pub const REVISION_MAX: u64 = 1 << 53;

/// How long to try to lock a file. Other processes hold the lock for milliseconds.
pub const FILE_LOCK_WAIT: Duration = Duration::from_secs(5);

/// The pause between two tries.
pub const FILE_LOCK_POLL: Duration = Duration::from_millis(10);

/// Time limit for using a file, including the wait for its lock.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(30);
