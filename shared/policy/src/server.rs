//! Facts that a server does not keep, because of its `maxmemory-policy`.

use std::fmt;

use crate::fact::{Fact, FactSet};

/// A fact that a server cannot tell. `Display` states it and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswerable {
    /// The fact.
    pub fact: Fact,
    /// The server's `maxmemory-policy`.
    pub policy: String,
}

/// The first of the facts that a server with this `maxmemory-policy` cannot tell: under an LFU policy it counts accesses
/// and keeps no idle times, under any other it is the reverse (`OBJECT IDLETIME`, `OBJECT FREQ`).
#[must_use]
pub fn unanswerable(needed: FactSet, policy: &str) -> Option<Unanswerable> {
    let fact = if policy.ends_with("lfu") { Fact::Idle } else { Fact::Freq };
    needed.contains(fact).then(|| Unanswerable { fact, policy: policy.to_owned() })
}

impl fmt::Display for Unanswerable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fact, policy } = self;
        let (keeps, instead) = match fact {
            Fact::Idle => ("counts accesses instead of idle times", Fact::Freq),
            _ => ("keeps idle times instead of counting accesses", Fact::Idle),
        };
        write!(
            f,
            "a server cannot tell `{fact}`: its maxmemory-policy is `{policy}`, under which it {keeps}; use \
             `{instead}`, or leave `{fact}` out"
        )
    }
}

impl std::error::Error for Unanswerable {}
