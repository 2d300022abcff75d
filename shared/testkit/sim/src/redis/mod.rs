//! A Redis server or cluster in this process: what keysweep sends to one, answered as Redis 7.0 answers it, with scripts
//! in a real Lua. `shared/redis/tests/live` shows that real servers answer so.

mod cluster;
mod commands;
pub(crate) mod deployment;
pub(crate) mod keyspace;
pub(crate) mod node;
pub(crate) mod resp;
mod script;
mod transaction;

pub(crate) use transaction::Session;
