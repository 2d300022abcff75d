//! Counters of servers and applications, as read at one time.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::messages::Lookups;

/// The counters of one primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounters {
    /// The node.
    pub node: NodeId,
    /// The id of its process, whose end resets the counters.
    pub process: String,
    /// The uptime of that process, in seconds.
    pub uptime_s: u64,
    /// Its counters since then.
    pub lookups: Lookups,
    /// The command statistics in the same reply. `None` if the server does not report them, and in snapshots of
    /// versions that did not query them: then keysweep's own lookups cannot be separated, so that their windows have
    /// no hit rate.
    #[serde(default)]
    pub commands: Option<CommandCounts>,
    /// Own lookups that are included in the counters, since the snapshot at the beginning of the same run.
    pub own_before: Lookups,
    /// Own lookups right afterwards, which are in no other snapshot.
    pub own_after: Lookups,
    /// Keys in its database.
    pub keys: u64,
    /// Those of them without TTL. `None` in snapshots of earlier versions.
    #[serde(default)]
    pub without_ttl: Option<u64>,
    /// Keys that the server removed by itself since its counters began. `None` if it does not report them, and in snapshots
    /// of earlier versions.
    #[serde(default)]
    pub removals: Option<KeyRemovals>,
}

/// Keys that a server removed by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRemovals {
    /// Because they expired (`expired_keys`).
    pub expired: u64,
    /// Because memory was full (`evicted_keys`).
    pub evicted: u64,
}

/// A server's lookups by its command statistics, and whether its counters were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandCounts {
    /// Calls of commands that make one lookup each and return no value (TTL, TYPE, OBJECT, DUMP and others).
    pub one_lookup: u64,
    /// Calls of all commands.
    pub all: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Calls of CONFIG RESETSTAT since the counters were last reset, that call included. 0 on Redis 6.2.
    pub resets: u64,
    /// The duration of those calls, in microseconds: it distinguishes resets.
    pub reset_us: u64,
    /// Calls of scripts and of HRANDFIELD. `None` in snapshots of earlier versions.
    #[serde(default)]
    pub scripts: Option<u64>,
}

/// Counters of an application. They increase; a decrease means a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Lookups that found a key.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// Lookups that failed; `None` if they are not counted.
    pub errors: Option<u64>,
}

impl CommandCounts {
    /// The difference to `before`. Resets are those since the last one, unchanged.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            one_lookup: self.one_lookup.saturating_sub(before.one_lookup),
            all: self.all.saturating_sub(before.all),
            connections: self.connections.saturating_sub(before.connections),
            scripts: self.scripts.zip(before.scripts).map(|(is, was)| is.saturating_sub(was)),
            ..self
        }
    }
}
