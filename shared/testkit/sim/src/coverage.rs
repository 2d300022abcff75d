//! Which failures a world went through: rows of the table of failures in ARCHITECTURE.md, by their names there.

use std::collections::BTreeSet;

use strum::{EnumIter, IntoStaticStr, VariantArray};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, EnumIter, VariantArray)]
pub enum Failure {
    /// A message of a worker was delivered again after a worker had died or stood still.
    #[strum(serialize = "a scanner or reaper dies or freezes")]
    Worker,
    /// A coordinator took over a run that another one had driven.
    #[strum(serialize = "the leader dies, freezes, or cannot renew its lease")]
    Leader,
    /// A request to the broker had no answer.
    #[strum(serialize = "NATS is away")]
    Broker,
    /// The broker accepted a message, and forgot it.
    #[strum(serialize = "a message is lost")]
    LostMessage,
    /// A message was dead-lettered.
    #[strum(serialize = "a message keeps failing")]
    DeadLetter,
    /// A message came with other bytes than were sent.
    #[strum(serialize = "a message cannot be decoded")]
    Undecodable,
    /// A primary was replaced during the run.
    #[strum(serialize = "a primary fails over")]
    FailOver,
    /// A slot changed its owner during the run.
    #[strum(serialize = "slots move")]
    Move,
    /// A server was away during the run, or not reached by a process.
    #[strum(serialize = "a node does not answer")]
    Away,
    /// A server refused writes during the run.
    #[strum(serialize = "a server takes no writes")]
    NoWrites,
    /// A connection was cut between requests and replies.
    #[strum(serialize = "a reply is cut off or too large")]
    Cut,
    /// A candidate was spared.
    #[strum(serialize = "a key is rewritten meanwhile")]
    Rewritten,
    /// The limit on deletions stopped the run.
    #[strum(serialize = "the plan was wrong about the number of deletions")]
    Limit,
    /// Servers ran no scripts.
    #[strum(serialize = "scripts are refused")]
    NoScripts,
    /// The process of a run without NATS died.
    #[strum(serialize = "a run without NATS is killed")]
    Killed,
    /// A backup could not be written.
    #[strum(serialize = "the backup cannot be written")]
    Backup,
    /// The run was cancelled because it lost its lock.
    #[strum(serialize = "the job's lock in Redis is lost")]
    Lock,
}

impl Failure {
    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The failures of a world, and the number of its faults.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// What it went through.
    pub failures: BTreeSet<Failure>,
    /// Acts, and faults of network and broker that happened.
    pub faults: u64,
}
