//! Commands to one server over a shared connection: bytes in, replies out, errors classified.
//! It never resends a command automatically: a command that timed out may have run.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use super::connections::{
    ConnIdentity, ConnectionUse, Connections, ExclusiveGuard, ServerConnection, SharedGuard,
};
use super::error::{RedisError, RedisErrorKind};
use super::listing::ScanConnection;
use super::socket::{Dial, Expected};
use crate::limits::RESPONSE_TIMEOUT;

/// A shared connection to one server, as one user and in one database. Requests are pipelined: they are sent without
/// waiting for the replies to earlier ones. A failed connection is not reused; the next request for a connection makes
/// a new one. Dropping the last clone closes it.
#[derive(Clone)]
pub struct Conn {
    link: Arc<ServerConnection>,
    origin: Arc<ConnSource>,
    /// Set while this clone has exclusive use of the connection; see [`DedicatedConn`].
    alone: Option<Arc<ExclusiveGuard>>,
}

/// How a connection was made.
pub(super) struct ConnSource {
    pub(super) dial: Dial,
    pub(super) identity: ConnIdentity,
    pub(super) connections: Arc<Connections>,
}

/// A connection for exclusive use: its server-side state, such as watched keys, belongs to the holder alone. Dropping
/// it closes the connection, unless [`DedicatedConn::into_conn`] returns it to shared use.
pub struct DedicatedConn {
    conn: Conn,
    kept: bool,
}

impl DedicatedConn {
    /// Returns it to shared use: it watches nothing and is in no transaction. It stays open while a clone of the
    /// returned connection exists.
    #[must_use]
    pub fn into_conn(mut self) -> Conn {
        self.kept = true;
        Conn { alone: None, ..self.conn.clone() }
    }
}

impl Drop for DedicatedConn {
    fn drop(&mut self) {
        if !self.kept {
            self.conn.link.discard();
        }
    }
}

impl Deref for DedicatedConn {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl Conn {
    /// A connection over `link`, with the settings of `dial`.
    pub(super) fn over(link: Arc<ServerConnection>, dial: Dial, connections: Arc<Connections>) -> Self {
        let identity = ConnIdentity::of(&dial);
        Self { link, origin: Arc::new(ConnSource { dial, identity, connections }), alone: None }
    }

    /// Acquires the right to send. Dropping the guard releases it.
    async fn turn(&self) -> Result<Option<SharedGuard>, RedisError> {
        if self.alone.is_some() {
            return Ok(None);
        }
        let ConnSource { dial, identity, .. } = &*self.origin;
        match self.link.try_enter(identity) {
            Some(turn) => Ok(Some(turn)),
            // Boxed, because it is rare, and its state would enlarge the future of every command.
            None => Box::pin(self.link.enter(dial, identity)).await.map(Some),
        }
    }

    /// Authenticates as our user and selects our database.
    pub(super) async fn enter(&self) -> Result<(), RedisError> {
        self.turn().await.map(drop)
    }

    /// A [`ScanConnection`] to the same server.
    #[must_use]
    pub fn lister(&self) -> ScanConnection {
        ScanConnection::new(Arc::clone(&self.origin))
    }

    /// The connection for deletes to the same server, once no other caller uses it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn dedicated(&self) -> Result<DedicatedConn, RedisError> {
        let ConnSource { dial, identity, connections } = &*self.origin;
        loop {
            let conn = Box::pin(connections.conn(dial, ConnectionUse::Acts)).await?;
            let held = conn.link.enter_exclusive(dial, identity).await;
            // The previous holder may have closed it.
            if conn.link.is_open() {
                return Ok(DedicatedConn {
                    conn: Self { alone: Some(Arc::new(held?)), ..conn },
                    kept: false,
                });
            }
        }
    }

    /// The number of connections from this process to the server.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.origin.connections.in_use()
    }

    /// Whether it works, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Closes it for all who share it, because it failed. Their pending requests fail with a lost connection.
    pub(super) fn discard(&self) {
        self.link.discard();
    }

    /// Converts `error`. A connection that broke, or whose reply timed out, is no longer shared.
    fn failed(&self, error: &redis::RedisError) -> RedisError {
        let fault = self.link.failed(&self.origin.dial, error);
        if matches!(
            fault.kind,
            RedisErrorKind::ConnectionLost | RedisErrorKind::Unreachable | RedisErrorKind::Protocol
        ) {
            self.discard();
        }
        fault
    }

    /// When it was opened.
    pub(super) fn opened(&self) -> Instant {
        self.link.opened
    }

    /// How it was made.
    pub(super) fn dial(&self) -> &Dial {
        &self.origin.dial
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.origin.dial.address
    }

    /// The user name of the connection.
    pub(super) fn user(&self) -> &str {
        self.origin.dial.info.redis_settings().username().unwrap_or("default")
    }

    /// Whether it runs over TLS.
    pub(super) fn encrypted(&self) -> bool {
        self.origin.dial.tls.is_some()
    }

    /// Sends one command. An error reply becomes a [`RedisError`].
    pub async fn command(&self, args: &[&[u8]]) -> Result<Value, RedisError> {
        self.command_within(args, RESPONSE_TIMEOUT).await
    }

    /// [`Conn::command`] with another reply timeout.
    pub async fn command_within(&self, args: &[&[u8]], limit: Duration) -> Result<Value, RedisError> {
        let (cmd, _turn) = (packed(args), self.turn().await?);
        let mut connection = self.link.connection();
        connection.set_response_timeout(limit);
        let reply = connection.send_packed_command(&cmd).await.map_err(|e| self.failed(&e))?;
        reply.extract_error().map_err(|e| RedisError::from_redis(self.address(), &e))
    }

    /// Sends one command, given as words separated by spaces.
    pub async fn info_text(&self, command: &str) -> Result<Value, RedisError> {
        let args: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        self.command(&args).await
    }

    /// Sends a batch in one write and returns one reply per command; the reply of a command that failed is
    /// [`Value::ServerError`].
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Value>, RedisError> {
        self.batch_for(Expected::Words, batch).await
    }

    /// [`Conn::batch`] with another limit for the size of the replies.
    pub(super) async fn batch_for(&self, expected: Expected, batch: Batch) -> Result<Vec<Value>, RedisError> {
        let count = batch.0.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let _turn = self.turn().await?;
        let _on_its_way = self.link.expect(expected);
        let replies = self.link.connection().send_packed_commands(&batch.0, 0, count).await;
        let replies = replies.map_err(|e| self.failed(&e))?;
        if replies.len() == count {
            Ok(replies)
        } else {
            Err(RedisError::unexpected(self.address(), "a pipeline"))
        }
    }

    /// The error in `reply`, if it is an error reply.
    #[must_use]
    pub fn fault(&self, reply: &Value) -> Option<RedisError> {
        match reply {
            Value::ServerError(e) => Some(RedisError::from_server(self.address(), e)),
            _ => None,
        }
    }
}

/// Commands that are sent in one write.
pub struct Batch(Pipeline);

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self(Pipeline::new())
    }

    /// Adds one command.
    pub fn add(&mut self, args: &[&[u8]]) {
        self.0.add_command(packed(args));
    }

    /// The number of commands.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it contains no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn packed(args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|a| a.len()).sum();
    let mut cmd = Cmd::with_capacity(args.len(), bytes);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}
