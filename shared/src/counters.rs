//! Counters of servers and applications, as read at one time.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::messages::Lookups;

/// What one primary had counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounters {
    /// The node.
    pub node: NodeId,
    /// Its process: counters end with it.
    pub process: String,
    /// How long that has run, in seconds.
    pub uptime_s: u64,
    /// Its counters since then.
    pub lookups: Lookups,
    /// What its command statistics said in the same reply. `None` if it does not tell, and in samples of versions that
    /// did not ask: what these counted cannot be told apart, so their windows have no hit rate.
    #[serde(default)]
    pub commands: Option<CommandCounts>,
    /// Look-ups of ours that are in the counters, since the sample that began the same run.
    pub own_before: Lookups,
    /// Look-ups of ours that came right afterwards, and of which no other sample speaks.
    pub own_after: Lookups,
    /// Keys in its database.
    pub keys: u64,
}

/// What command statistics say of a server's look-ups, and whether its counters were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandCounts {
    /// Calls of commands that make one look-up each and return no value (TTL, TYPE, OBJECT, DUMP and others).
    pub one_lookup: u64,
    /// All commands.
    pub all: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Calls of CONFIG RESETSTAT since the counters were last reset: the one that did it. 0 on Redis 6.2.
    pub resets: u64,
    /// How long those took, in microseconds: it tells one reset from another.
    pub reset_us: u64,
    /// Calls of scripts and of HRANDFIELD. `None` in samples of earlier versions.
    #[serde(default)]
    pub scripts: Option<u64>,
}

/// Counters of an application. They grow; where they fall, they began anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Look-ups that failed; `None` where they are not counted.
    pub errors: Option<u64>,
}

impl CommandCounts {
    /// What was counted since `before`. Resets are those since the last one, as they are.
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
