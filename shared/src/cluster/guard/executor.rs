//! The two ways to act as one: what a node needs for either, and the call.

use super::watch::WatchPool;
use super::{BatchWindow, GuardMode, GuardVerdict, Part, call, load};
use crate::cluster::conn::Conn;
use crate::cluster::error::RedisError;
use crate::messages::{DeleteBackend, Lookups};

/// What it takes to act at one node.
#[derive(Clone)]
pub enum GuardExecutor {
    /// The name of the script, which is loaded there.
    Lua(Vec<u8>),
    /// What transactions go over.
    Watch(WatchPool),
}

/// What a call answered for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardReply {
    /// What became of it.
    pub verdict: GuardVerdict,
    /// Look-ups that it took beyond those that [`super::lookups`] tells of its outcomes.
    pub extra_lookups: Lookups,
}

impl GuardExecutor {
    /// Makes the server behind `conn` ready for `way`.
    pub async fn prepare(conn: &Conn, way: DeleteBackend) -> Result<Self, RedisError> {
        Ok(match way {
            DeleteBackend::Lua => Self::Lua(load(conn).await?),
            DeleteBackend::Watch => Self::Watch(WatchPool::default()),
        })
    }

    /// Acts on several groups. A group that failed has its fault in its place. `again` says that calls before had
    /// something left to this one (see [`super::ExpectedContent::Later`]).
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
                    // The script asks a ledger that it has not made what it holds.
                    answer.extra_lookups += Lookups::reads(u64::from(again), 0);
                }
                Ok(answers)
            }
            Self::Watch(kept) => Ok(kept.call(conn, (window, mode), parts).await),
        }
    }
}
