//! Limits of meeting the servers of a cluster, which may announce thousands that do not answer.

use std::time::Duration;

/// Nodes that are asked side by side.
pub const NODES_AT_ONCE: usize = 32;

/// How long all primaries of a cluster together may take to be met before a run, and again to be looked at after it. Of a
/// thousand that each need a second, all are met in half of it. One that never answers takes fifteen seconds.
pub const MEETING_TIMEOUT: Duration = Duration::from_secs(60);

/// Primaries that could not be met and are named one by one; of the others the number is told.
pub const UNMET_NAMED_MAX: usize = 100;

/// How long primaries are asked one after the other who serves what, when the seeds do not answer: fifteen that are silent.
pub const ASK_ALL_TIMEOUT: Duration = Duration::from_secs(30);
