//! Newtypes for the identities that messages carry.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time;

/// A new, time-ordered UUID (version 7). In a simulation it follows from the clock and the seed of the thread.
#[must_use]
pub fn unique() -> Uuid {
    if !time::is_simulated() {
        return Uuid::now_v7();
    }
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(time::now_ms(), &random).into_uuid()
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(Uuid);

        impl $name {
            /// A new, time-ordered identity (UUIDv7).
            #[must_use]
            #[expect(clippy::new_without_default, reason = "two calls never agree, so this is no default")]
            pub fn new() -> Self {
                Self(unique())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// One execution of a job.
    RunId
);
uuid_id!(
    /// One short unit of scanning.
    TaskId
);
uuid_id!(
    /// One reap batch. Each attempt at a task creates new ones, so a batch belongs to one attempt.
    BatchId
);

impl RunId {
    /// The id as a number.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl TaskId {
    /// The next id. A process may use the ids that follow one that it drew at random: another random id is nowhere near.
    #[must_use]
    pub fn successor(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128().wrapping_add(1)))
    }
}

/// The identity for statements about all batches of a task: no batch has it.
impl From<TaskId> for BatchId {
    fn from(task: TaskId) -> Self {
        Self(task.0)
    }
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(String);

        impl $name {
            /// Wraps `name` as it is.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_id!(
    /// A node id of Redis Cluster (40 hexadecimal digits); a standalone server is `standalone`.
    NodeId
);
name_id!(
    /// The name of a Redis deployment in a job file. Messages contain it instead of addresses and secrets.
    Alias
);
