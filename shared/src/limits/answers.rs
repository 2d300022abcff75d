//! Limits of how much one write asks of a server.

use std::time::Duration;

use super::{KEY_BYTES_MAX, READ_BYTES, WINDOW_BYTES_MAX};

/// Bytes of answers, about, that one write of listings asks for, as far as the size of names is known: more would be
/// asked for again in part.
pub const ANSWER_ASKED_BYTES_MAX: u64 = 2 * WINDOW_BYTES_MAX as u64;

/// Bytes that are read of the answers to one write of listings; where there are more, less is asked for. Names are short
/// nearly always, so that pages of them are far smaller.
pub const REPLY_BYTES_MAX: usize = 4 << 20;

/// The same of SCAN with `COUNT 1`, which cannot be asked for less: it lists all keys of a bucket, and of several while the
/// table grows. Sixteen of the longest that are deleted have room. One that is longer than this cannot be listed.
pub const SMALLEST_PAGE_BYTES_MAX: usize = 16 << 20;

/// Keys that are read of them: few times as many as any write asks for, because each takes more memory than bytes.
pub const REPLY_KEYS_MAX: usize = 100_000;

/// Bytes that a process holds of the answers to all its listings. A write is answered with less while others hold so
/// much, so that a process that reads many servers takes no more memory than one that reads a few.
pub const REPLIES_BYTES_MAX: usize = 8 << 20;

/// Bytes that are read of an answer whatever others hold: the longest key that is deleted, and what stands around it.
pub const REPLY_BYTES_LEAST: usize = KEY_BYTES_MAX + READ_BYTES;

/// Bytes that are read of the answers about one key that is looked up: two errors that name a host.
pub const LOOK_ANSWER_BYTES_MAX: usize = 1 << 10;

/// Bytes that are read of what a server answers to a connection for listings before the first of them.
pub const GREETING_BYTES_MAX: usize = 256 << 10;

/// How long it is remembered that a server cut answers off. To learn it costs some ten connections.
pub const ANSWER_SIZE_KEPT: Duration = Duration::from_secs(60 * 60);

/// Servers of which it is remembered how large their answers may be, beside those in use.
pub const ANSWER_SIZES_MAX: usize = 1_024;

/// Bytes that are read of what is answered to one command or pipeline beside listings, where a few words are expected for
/// each command: INFO of a server with thousands of databases has as many.
pub const WORDS_BYTES_MAX: usize = 1 << 20;

/// Ends of lines in it. Each may cost the client library 75 bytes; the longest pipelines have some thousand answers, and a
/// few of them may be on their way at once.
pub const WORDS_LINES_MAX: usize = 50_000;

/// Bytes of it that are read whatever others hold, with [`ANSWER_LINE_BYTES`] for each end of a line.
pub const WORDS_BYTES_LEAST: usize = 128 << 10;

/// Bytes that are read of what is answered with members of sets, names of fields, or values: twice as many as are asked
/// for, because their sizes are estimates.
pub const ANSWER_BYTES_MAX: usize = 2 * ANSWER_ASKED_BYTES_MAX as usize;

/// Ends of lines in it: a page of an activity set has 40,000.
pub const ANSWER_LINES_MAX: usize = 100_000;

/// Bytes that a process holds of the answers to all its commands beside listings, where it saves no values; with
/// [`ANSWER_LINE_BYTES`] for each end of a line.
pub const ANSWERS_BYTES_MAX: usize = 12 << 20;

/// The same where a cluster is asked for its slots. One answer may have as many.
pub const DESCRIPTIONS_BYTES_MAX: usize = 24 << 20;

/// Bytes that an element of an answer costs the client library, at the least.
pub const ANSWER_LINE_BYTES: usize = 48;

/// Ends of lines where a cluster is asked for its slots: CLUSTER SLOTS of 16,384 ranges, each with three nodes, has 393,217.
pub const TOPOLOGY_LINES_MAX: usize = 400_000;

/// How many times as large as values may be that are saved, an answer with them is: the server weighs only a few members
/// of a large value.
pub const ANSWER_VALUES_FACTOR: usize = 4;
