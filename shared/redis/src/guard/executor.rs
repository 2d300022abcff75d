//! The delete backend of a run at one node, chosen by its plan.

use keysweep_model::messages::DeleteBackend;

use super::{Guard, GuardCall, GuardReplies, LuaGuard, WatchGuard};
use crate::conn::Conn;
use crate::error::RedisError;

/// Either delete backend. An enum, so that a call costs no allocation.
#[derive(Clone)]
pub enum GuardExecutor {
    /// Scripts.
    Lua(LuaGuard),
    /// Transactions.
    Watch(WatchGuard),
}

impl GuardExecutor {
    /// Prepares the server behind `conn` for the delete backend. It serves the two `slots`, which are the same if it
    /// serves only one.
    pub async fn prepare(conn: &Conn, backend: DeleteBackend, slots: [u16; 2]) -> Result<Self, RedisError> {
        Ok(match backend {
            DeleteBackend::Lua => Self::Lua(LuaGuard::load(conn, slots).await?),
            DeleteBackend::Watch => Self::Watch(WatchGuard::default()),
        })
    }
}

impl Guard for GuardExecutor {
    async fn call(&self, conn: &Conn, call: GuardCall<'_>) -> Result<GuardReplies, RedisError> {
        match self {
            Self::Lua(guard) => guard.call(conn, call).await,
            Self::Watch(guard) => guard.call(conn, call).await,
        }
    }

    fn writes_on_caller_conn(&self) -> bool {
        match self {
            Self::Lua(guard) => guard.writes_on_caller_conn(),
            Self::Watch(guard) => guard.writes_on_caller_conn(),
        }
    }

    fn crosses_slots(&self) -> bool {
        match self {
            Self::Lua(guard) => guard.crosses_slots(),
            Self::Watch(guard) => guard.crosses_slots(),
        }
    }
}
