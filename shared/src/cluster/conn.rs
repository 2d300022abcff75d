//! Commands to one server over a connection that is shared: bytes in, replies out, faults sorted.
//! It never re-sends a command by itself: a command that timed out may have run.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::connections::{
    ConnIdentity, ConnectionUse, Connections, ExclusiveGuard, ServerConnection, SharedGuard,
};
use super::error::{RedisError, RedisErrorKind};
use super::listing::ScanConnection;
use super::socket::{Dial, Expected};
use crate::limits::RESPONSE_TIMEOUT;

/// A connection to one server, as one user and in one database. Others of the process share it; requests are sent one
/// behind the other without waiting for each other's answers. One that failed is of no use any more; the next one that
/// is asked for is another one. It is closed when nobody has it any more.
#[derive(Clone)]
pub struct Conn {
    link: Arc<ServerConnection>,
    origin: Arc<ConnSource>,
    /// Held while nobody else may send anything; see [`DedicatedConn`].
    alone: Option<Arc<ExclusiveGuard>>,
}

/// How a connection was made.
pub(super) struct ConnSource {
    pub(super) dial: Dial,
    pub(super) identity: ConnIdentity,
    pub(super) connections: Arc<Connections>,
}

/// A connection that nobody else sends anything over: what a server remembers of a connection, such as what it watches,
/// is its holder's alone. Dropping it closes the connection, unless it is kept.
pub struct DedicatedConn {
    conn: Conn,
    kept: bool,
}

impl DedicatedConn {
    /// Lets others have it again: nothing is watched on it, and it is in no transaction. It stays open for as long as
    /// somebody has what this returns.
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
    /// The one over `link`, as `dial` says.
    pub(super) fn over(link: Arc<ServerConnection>, dial: Dial, connections: Arc<Connections>) -> Self {
        let identity = ConnIdentity::of(&dial);
        Self { link, origin: Arc::new(ConnSource { dial, identity, connections }), alone: None }
    }

    /// The right to send. Dropping it lets others take their turn.
    async fn turn(&self) -> Result<Option<SharedGuard>, RedisError> {
        if self.alone.is_some() {
            return Ok(None);
        }
        let ConnSource { dial, identity, .. } = &*self.origin;
        match self.link.try_enter(identity) {
            Some(turn) => Ok(Some(turn)),
            // Boxed, because it is rare, and everybody who sends anything would carry along its state.
            None => Box::pin(self.link.enter(dial, identity)).await.map(Some),
        }
    }

    /// Makes sure that the server takes us, and has our database.
    pub(super) async fn enter(&self) -> Result<(), RedisError> {
        self.turn().await.map(drop)
    }

    /// The way to list keys of the same server.
    #[must_use]
    pub fn lister(&self) -> ScanConnection {
        ScanConnection::new(Arc::clone(&self.origin))
    }

    /// The connection for acts to the same server, once nobody else uses it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn dedicated(&self) -> Result<DedicatedConn, RedisError> {
        let ConnSource { dial, identity, connections } = &*self.origin;
        loop {
            let conn = Box::pin(connections.conn(dial, ConnectionUse::Acts)).await?;
            let held = conn.link.enter_exclusive(dial, identity).await;
            // Whoever had it before may have closed it.
            if conn.link.is_open() {
                return Ok(DedicatedConn {
                    conn: Self { alone: Some(Arc::new(held?)), ..conn },
                    kept: false,
                });
            }
        }
    }

    /// How many connections this process has to the server.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.origin.connections.in_use()
    }

    /// Whether it works, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Closes it for all who share it, because it failed. What they wait for counts as lost.
    pub(super) fn discard(&self) {
        self.link.discard();
    }

    /// The fault that `error` is. A connection that broke, or over which an answer did not come in time, is not shared
    /// any longer.
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

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.origin.dial.address
    }

    /// The user as whom it is used.
    pub(super) fn user(&self) -> &str {
        self.origin.dial.info.redis_settings().username().unwrap_or("default")
    }

    /// Whether it runs over TLS.
    pub(super) fn encrypted(&self) -> bool {
        self.origin.dial.tls.is_some()
    }

    /// Sends one command. An error answered by the server is a [`RedisError`].
    pub async fn command(&self, args: &[&[u8]]) -> Result<Value, RedisError> {
        self.command_within(args, RESPONSE_TIMEOUT).await
    }

    /// [`Conn::command`] with another time limit for the answer.
    pub async fn command_within(&self, args: &[&[u8]], limit: Duration) -> Result<Value, RedisError> {
        let (cmd, _turn) = (packed(args), self.turn().await?);
        let mut connection = self.link.connection();
        connection.set_response_timeout(limit);
        let reply = connection.send_packed_command(&cmd).await.map_err(|e| self.failed(&e))?;
        reply.extract_error().map_err(|e| RedisError::from_redis(self.address(), &e))
    }

    /// Sends one command given as words separated by blanks.
    pub async fn info_text(&self, command: &str) -> Result<Value, RedisError> {
        let args: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        self.command(&args).await
    }

    /// Sends a batch in one write and returns one reply per command; a command that failed answers
    /// [`Value::ServerError`] in its place.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Value>, RedisError> {
        self.batch_for(Expected::Words, batch).await
    }

    /// [`Conn::batch`] of commands to which so much is expected.
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

    /// The fault that `reply` is, if it is one.
    #[must_use]
    pub fn fault(&self, reply: &Value) -> Option<RedisError> {
        match reply {
            Value::ServerError(e) => Some(RedisError::from_server(self.address(), e)),
            _ => None,
        }
    }
}

/// Commands that travel in one write.
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

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
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
