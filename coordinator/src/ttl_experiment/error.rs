//! Why a command about an experiment has no answer.

use keysweep_redis::RedisError;
use keysweep_state::StateError;
use keysweep_storage::store::StoreError;
use keysweep_ttl_experiment::{Guard, PlanError};
use thiserror::Error;

/// Why a command about an experiment has no answer.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// A server failed.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The experiment cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Nothing is kept.
    #[error("an experiment is kept in the state file: name its folder with `--state-dir DIR`")]
    NoState,
    /// There is no key to measure.
    #[error(
        "no key of a user was written within the last {within_s} s, as far as `patterns`, `identity` and the TTL of the \
         control tell: nothing can be measured"
    )]
    NothingWritten {
        /// The time that was looked at, in seconds.
        within_s: f64,
    },
    /// There is no such experiment.
    #[error("there is no experiment `{name}` on this machine; `keysweep ttl experiment start` starts one")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// Another one is running.
    #[error(
        "the experiment `{name}` is running (`{id}`): stop it with `keysweep ttl experiment stop --name {name}`, on the \
         machine where it was started, or give this one another `--name`"
    )]
    Exists {
        /// The name.
        name: String,
        /// Its id.
        id: String,
    },
    /// The key of the assignment is used by something else.
    #[error(
        "the key `{key}` exists and is not the assignment of an experiment; give this one another `--name`"
    )]
    Foreign {
        /// The key.
        key: String,
    },
    /// A guard would stop it at once.
    #[error("{0}: an experiment would be stopped at once")]
    Guard(Guard),
    /// The server cannot tell when keys expire.
    #[error("the server ({version}) does not tell when a key expires (PEXPIRETIME, from Redis 7.0 on)")]
    TooOld {
        /// Its version.
        version: String,
    },
    /// Another process changed it meanwhile.
    #[error("another process changed the experiment meanwhile; try again")]
    Changed,
}

impl ExperimentError {
    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Redis(fault) => fault.kind.is_transient(),
            Self::Changed => true,
            _ => false,
        }
    }
}
