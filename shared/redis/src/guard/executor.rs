//! The two delete backends: what a node needs for either, and the call.

use keysweep_model::messages::{DeleteBackend, Lookups};

use super::watch::WatchPool;
use super::{BatchWindow, GuardMode, GuardVerdict, Part, call, load};
use crate::conn::Conn;
use crate::error::RedisError;

/// A delete backend that is ready for use at one node.
#[derive(Clone)]
pub enum GuardExecutor {
    /// The SHA-1 of the loaded script.
    Lua(Vec<u8>),
    /// The connection for transactions.
    Watch(WatchPool),
}

/// The reply of a call for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardReply {
    /// The result.
    pub verdict: GuardVerdict,
    /// Lookups in addition to those that [`super::lookups`] computes from the outcomes.
    pub extra_lookups: Lookups,
}

impl GuardExecutor {
    /// Prepares the server behind `conn` for the delete backend.
    pub async fn prepare(conn: &Conn, backend: DeleteBackend) -> Result<Self, RedisError> {
        Ok(match backend {
            DeleteBackend::Lua => Self::Lua(load(conn).await?),
            DeleteBackend::Watch => Self::Watch(WatchPool::default()),
        })
    }

    /// Acts on several groups. A group that failed has its error in its place. `again`: earlier calls left something
    /// to this one (see [`super::ExpectedContent::Later`]).
    pub async fn call(
        &self,
        conn: &Conn,
        (window, mode): (BatchWindow, GuardMode),
        parts: &[Part<'_>],
        again: bool,
    ) -> Result<Vec<Result<GuardReply, RedisError>>, RedisError> {
        match self {
            Self::Lua(script) => {
                let mut answers = call(conn, script, (window, mode), parts).await?;
                for answer in answers.iter_mut().flatten() {
                    // The script reads a ledger that another call has created.
                    answer.extra_lookups += Lookups::reads(u64::from(again), 0);
                }
                Ok(answers)
            }
            Self::Watch(kept) => Ok(kept.call(conn, (window, mode), parts).await),
        }
    }
}
