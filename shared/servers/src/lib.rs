//! Local Redis servers, on loopback and free ports, that end with this process: for `keysweep demo`, the tests and
//! xtask. None of it is used with other servers. Sentinel and nats-server, which only tests start, are in testkit.

mod binary;
mod cluster;
mod dataset;
pub mod managed_process;
mod ports;
mod process;
mod redis62;
mod seed;

use std::io;

pub use binary::{find_program, nats_server, redis_server};
pub use cluster::ClusterServers;
pub use dataset::{Dataset, DatasetEntry, DatasetValue, ExpectedCounts, demo_mixture};
pub use managed_process::ManagedProcess;
pub use ports::{free_ports, fresh_dir};
pub use process::{Server, answers};
pub use seed::Seeder;

use keysweep_files::FileError;
use keysweep_redis::{Conn, RedisError, Reply};

/// Why a local server could not be started, controlled or filled.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// No `redis-server` or `nats-server` on this machine; the text explains how to install one.
    #[error("{0}")]
    MissingBinary(String),
    /// The environment variable does not name an executable file; installing one does not help.
    #[error("{0}")]
    WrongBinary(String),
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// The operation, with the path or the program.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// Its files could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A server ended, or was not ready in time; the end of its log shows the cause.
    #[error("{what}; the end of its log:\n{log}")]
    NotReady {
        /// The server, and the failed check.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// A slot without owner for a key, or an unexpected reply.
    #[error("{0}")]
    Unusable(String),
    /// A server replied with an error, or not at all.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl ServersError {
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// Sends `command` (words separated by blanks) and returns the reply as text.
///
/// # Errors
/// Those of the server, and a reply that is no text.
pub async fn ask(conn: &Conn, command: &str) -> Result<String, RedisError> {
    match conn.info_text(command).await? {
        Reply::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Reply::SimpleString(text) | Reply::VerbatimString { text, .. } => Ok(text),
        _ => Err(RedisError::unexpected(conn.address(), command)),
    }
}
