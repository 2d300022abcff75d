//! Limits of the size of replies to one write.

use std::time::Duration;

use super::{KEY_BYTES_MAX, READ_BYTES, WINDOW_BYTES_MAX};

/// Approximate reply bytes that one write of listings requests, as far as the size of names is known: more would be
/// partly requested again.
pub const ANSWER_ASKED_BYTES_MAX: u64 = 2 * WINDOW_BYTES_MAX as u64;

/// Reply bytes that are read for one write of listings; if there are more, less is requested. Names are nearly always
/// short, so that pages are far smaller.
pub const REPLY_BYTES_MAX: usize = 4 << 20;

/// The same for SCAN with `COUNT 1`, the smallest request: it lists all keys of a bucket, and of several while the
/// table grows. It has room for sixteen of the longest keys that can be deleted. A larger page cannot be listed.
pub const SMALLEST_PAGE_BYTES_MAX: usize = 16 << 20;

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
