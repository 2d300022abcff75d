//! Who was read by a task of a run that asks for replicas.

use serde::{Deserialize, Serialize};

/// The server that a task read, and how far that was behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSource {
    /// `host:port` of the replica; `None` if the primary was read.
    pub replica: Option<String>,
    /// Bytes of replication that it lacked when the task began.
    pub behind_bytes: u64,
    /// Seconds since it had last heard of its primary, when the task began.
    pub silent_s: u64,
    /// How long the task waited until it lacked nothing of them, in milliseconds.
    pub waited_ms: u64,
    /// Why no replica was read, for people.
    pub why_not: Option<String>,
}
