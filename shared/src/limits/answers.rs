//! Limits of how much one write asks of a server.

use std::time::Duration;

use super::WINDOW_BYTES_MAX;

/// Bytes of answers, about, that one write of listings asks for, as far as the size of names is known: more would be
/// asked for again in part.
pub const ANSWER_ASKED_BYTES_MAX: u64 = 2 * WINDOW_BYTES_MAX as u64;

/// How long it is remembered that a server cut answers off. To learn it costs some ten connections.
pub const ANSWER_SIZE_KEPT: Duration = Duration::from_secs(60 * 60);

/// Servers of which it is remembered how large their answers may be, beside those in use.
pub const ANSWER_SIZES_MAX: usize = 1_024;

/// Ends of lines in what is answered to one command or pipeline beside listings. Each may cost the client library 75 bytes,
/// and a page of an activity set has 40,000.
pub const ANSWER_LINES_MAX: usize = 150_000;

/// The same where a cluster is asked for its slots: CLUSTER SLOTS of 16,384 ranges, each with three nodes, has 393,217.
pub const TOPOLOGY_LINES_MAX: usize = 400_000;

/// How many times as large as values may be that are saved, an answer with them is: the server weighs only a few members
/// of a large value.
pub const ANSWER_VALUES_FACTOR: usize = 4;
