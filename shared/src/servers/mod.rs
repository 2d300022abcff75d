//! Redis and NATS servers that we start ourselves, on loopback and on free ports, and that end with us: for
//! `keysweep demo`, the tests and xtask. Nothing here is used against a server of someone else.

mod binary;
mod cluster;
mod dataset;
mod managed_process;
mod nats;
mod ports;
mod process;
mod redis62;
mod seed;
mod sentinel;
mod slots;

use std::io;

pub use binary::{find_program, nats_server, redis_server};
pub use cluster::ClusterServers;
pub use dataset::{Dataset, DatasetEntry, DatasetValue, ExpectedCounts, demo_mixture};
pub use nats::NatsServer;
pub use process::Server;
pub use seed::Seeder;
pub use sentinel::Sentinel;

use crate::cluster::{Conn, RedisError, Reply};
use crate::files::FileError;

/// Why a server of ours could not be started, steered or filled.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// No `redis-server` or `nats-server` on this machine; the text says how to get one.
    #[error("{0}")]
    MissingBinary(String),
    /// The environment names a binary that cannot be started; installing one does not help.
    #[error("{0}")]
    WrongBinary(String),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried, with the path or the program.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its files could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A server ended, or was not ready in time; the end of its log says why.
    #[error("{what}; the end of its log:\n{log}")]
    NotReady {
        /// Which server, and what it did not do.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// No slot owner to send a key to, or an answer that makes no sense here.
    #[error("{0}")]
    Unusable(String),
    /// A server answered with an error, or not at all.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl ServersError {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// A reply that is text, such as those of INFO and CLUSTER NODES.
fn text(conn: &Conn, command: &str, reply: &Reply) -> Result<String, RedisError> {
    match reply {
        Reply::BulkString(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Reply::SimpleString(text) | Reply::VerbatimString { text, .. } => Ok(text.clone()),
        _ => Err(RedisError::unexpected(conn.address(), command)),
    }
}

/// Sends `command` (words separated by blanks) and returns its answer as text.
async fn ask(conn: &Conn, command: &str) -> Result<String, RedisError> {
    let reply = conn.info_text(command).await?;
    text(conn, command, &reply)
}
