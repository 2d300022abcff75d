//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

use keysweep_model::limits::{KEY_BYTES_MAX, WINDOW_BYTES_MAX};

/// Time limit for opening a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time without a reply after which a check tests whether a TLS server speaks TLS at all.
pub const TLS_CHECK_AFTER: Duration = Duration::from_secs(1);

/// Time limit for one reply; after it, the connection counts as lost. Far above what a healthy server needs, because
/// an abandoned command may still run.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to nodes of a deployment that are kept for reuse.
pub const CONNS_MAX: usize = 64;

/// Read buffer per connection, in bytes.
pub const READ_BYTES: usize = 64 << 10;

/// Time limit for a topology query to one server when other servers can be queried as well.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a batch waits until the replicas have its deletions. The end of the run checks the rest again.
pub const REPLICA_WAIT: Duration = Duration::from_millis(100);

/// How long the end of a run waits for replicas that lag. They report their offset about once a second.
pub const REPLICAS_CAUGHT_UP_WAIT: Duration = Duration::from_secs(3);

/// Memory usage beyond which a server is nearly full, in percent of its limit.
pub const MEMORY_PERCENT_MAX: f64 = 80.0;

/// A PING latency above this many milliseconds is a sign of trouble.
pub const LATENCY_MS_MAX: f64 = 100.0;

/// How many times smaller the requests of a plan are under a latency budget.
pub const SMALL_REQUESTS: usize = 5;

/// The break of a plan between requests to a node under a latency budget, as a multiple of the last request's
/// duration.
pub const BREAK_RATIO: u32 = 3;

/// The longest pause after one piece of work.
pub const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Time limit for a replica to report its offset, including the connection. A slower one is not worth using.
pub const REPLICA_ANSWER: Duration = Duration::from_secs(1);

/// How often a lagging replica is queried again.
pub const REPLICA_POLL: Duration = Duration::from_millis(20);

/// How long a replica that did not answer is not used.
pub const REPLICA_DOWN: Duration = Duration::from_secs(10);

/// Replicas of one primary that are considered.
pub const REPLICAS_MAX: usize = 16;

/// Bytes of values, about, that are asked for in one write, or compared in one script call, unless it is a single value.
pub const BACKUP_WRITE_BYTES: u64 = 1 << 20;

/// The largest string that is read at first sight, before anything is known of its size, in bytes.
pub const BACKUP_TEXT_MAX: u64 = 4 << 10;

/// Keys that are read in one write.
pub const BACKUP_WRITE_KEYS: usize = 200;

/// Approximate reply bytes that one write of listings requests, as far as the size of names is known: more would be
/// partly requested again.
pub const ANSWER_ASKED_BYTES_MAX: u64 = 2 * WINDOW_BYTES_MAX as u64;

/// Reply bytes that are read for one write of listings; if there are more, less is requested. Names are nearly always
/// short, so that pages are far smaller.
pub const REPLY_BYTES_MAX: usize = 4 << 20;

/// The same for SCAN with `COUNT 1`, the smallest request: it lists all keys of a bucket, and of several while the
/// table grows. It has room for twelve of the longest keys that can be deleted. A larger page cannot be listed.
pub const SMALLEST_PAGE_BYTES_MAX: usize = 12 << 20;

/// Keys that are read of them: a small multiple of what any write requests, because each takes more memory than its
/// bytes.
pub const REPLY_KEYS_MAX: usize = 100_000;

/// Bytes of all listing replies that a process may have in memory. When they are used up, further writes get less, so
/// that a process that reads many servers takes no more memory than one that reads a few.
pub const REPLIES_BYTES_MAX: usize = 8 << 20;

/// Bytes of a reply that are always read: the longest key that can be deleted, and what surrounds it.
pub const REPLY_BYTES_LEAST: usize = KEY_BYTES_MAX + READ_BYTES;

/// Reply bytes for one key that is looked up: two errors that name a host.
pub const LOOKUP_REPLY_BYTES_MAX: usize = 1 << 10;

/// Reply bytes on a listing connection before the first listing.
pub const GREETING_BYTES_MAX: usize = 256 << 10;

/// How long the reply size limit of a server is remembered. Finding it out takes about ten connections.
pub const ANSWER_SIZE_KEPT: Duration = Duration::from_secs(60 * 60);

/// Servers whose reply size limit is remembered, in addition to those in use.
pub const ANSWER_SIZES_MAX: usize = 1_024;

/// Reply bytes for one command or pipeline other than listings, where a short reply to each command is expected: INFO
/// of a server with thousands of databases has as many.
pub const SHORT_REPLY_BYTES_MAX: usize = 1 << 20;

/// Line ends in them. Each may cost the client library 75 bytes; the longest pipelines have about a thousand replies,
/// and a few of them may be in flight.
pub const SHORT_REPLY_LINES_MAX: usize = 50_000;

/// Bytes of them that are always read, plus [`ANSWER_LINE_BYTES`] for each line end.
pub const SHORT_REPLY_BYTES_LEAST: usize = 128 << 10;

/// Reply bytes for members of sets, names of fields, or values: twice the requested amount, because sizes are
/// estimates.
pub const ANSWER_BYTES_MAX: usize = 2 * ANSWER_ASKED_BYTES_MAX as usize;

/// Line ends in them: a page of an activity set has 40,000.
pub const ANSWER_LINES_MAX: usize = 100_000;

/// Bytes of all replies other than listings that a process may have in memory when it saves no values, plus
/// [`ANSWER_LINE_BYTES`] for each line end.
pub const ANSWERS_BYTES_MAX: usize = 12 << 20;

/// The same for topology queries. One reply may be as large.
pub const DESCRIPTIONS_BYTES_MAX: usize = 24 << 20;

/// The minimum of bytes that an element of a reply costs the client library.
pub const ANSWER_LINE_BYTES: usize = 48;

/// Line ends in a topology reply: CLUSTER SLOTS with 16,384 ranges of three nodes each has 393,217.
pub const TOPOLOGY_LINES_MAX: usize = 400_000;

/// The maximum size of a reply with values to be saved, as a multiple of their estimated size: MEMORY USAGE samples
/// only a few members of a large value.
pub const ANSWER_VALUES_FACTOR: usize = 4;

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

/// Time limit for checking all primaries of a cluster before a run, and again after it. A thousand that take a second
/// each are checked in half of it. One that never answers takes fifteen seconds.
pub const PREFLIGHT_TIMEOUT: Duration = Duration::from_secs(60);

/// Unreachable primaries that are listed; further ones are only counted.
pub const UNREACHABLE_NAMED_MAX: usize = 100;

/// How long primaries are queried for the topology, one after the other, when the seeds do not answer: fifteen silent
/// ones.
pub const ASK_ALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys that expire at this time or later never count as those of inactive users, in milliseconds of a server's clock
/// (in 287,000 years). Numbers in a script have 53 bits, so that it cannot distinguish such times.
pub const EXPIRY_EXACT_BEFORE_MS: u64 = 1 << 53;

/// Fields of a hash whose expiry is queried. Querying 10^6 fields keeps a server busy for a second.
pub const FIELDS_QUERIED_MAX: usize = 100;

/// Keys whose fields are queried in one write.
pub const FIELDS_KEYS_AT_ONCE: usize = 100;

/// How long a node that could not be reached is not tried again.
pub const DOWN_TIME: Duration = Duration::from_secs(1);

/// The maximum number of connections of a process to one server.
pub const CONNECTIONS_MAX: usize = 4;

/// The number of these that list keys: one per concurrent task at a server.
pub const LISTINGS_AT_ONCE: usize = 2;
