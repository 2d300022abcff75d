//! One multiplexed connection to one server: commands as bytes in, replies out, faults sorted.
//! It never re-sends a command by itself: a command that timed out may have run.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, Value};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::fault::{Fault, FaultKind};
use super::listing::Lister;
use super::socket::{Counted, Dial, explain, open};
use crate::limits::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};

/// A connection to one server. Clones share it; requests of several clones are sent one behind the other
/// without waiting for each other's answers.
#[derive(Clone)]
pub struct Conn {
    connection: MultiplexedConnection,
    /// How it was made.
    origin: Arc<(Dial, String)>,
    /// What moves bytes between connection and socket. Dropping the last clone ends it, and closes the socket.
    _driver: Arc<AbortOnDropHandle<()>>,
}

impl Conn {
    pub(super) async fn connect(dial: Dial, name: &str) -> Result<Self, Fault> {
        let socket = Counted::new(open(&dial).await?);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let meeting = MultiplexedConnection::new_with_config(dial.info.redis_settings(), socket, config);
        let met = timeout(CONNECT_TIMEOUT, meeting).await;
        let late = |_| Fault::new(FaultKind::Unreachable, &*dial.address, "it did not answer in time");
        let (connection, driver) = match met.map_err(late)? {
            Ok(met) => met,
            Err(e) => {
                let fault = explain(&dial, Fault::from_redis(&dial.address, &e)).await;
                // Nothing of ours was done yet.
                let kind = if fault.kind == FaultKind::Lost { FaultKind::Unreachable } else { fault.kind };
                return Err(dial.blame(Fault { kind, ..fault }));
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the connection, and tells it what went wrong"
        )]
        let driver = Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)));
        let conn = Self { connection, origin: Arc::new((dial, name.to_owned())), _driver: driver };
        match conn.introduce(name).await {
            Ok(()) => Ok(conn),
            Err(fault) => Err(conn.origin.0.blame(explain(&conn.origin.0, fault).await)),
        }
    }

    /// Names the connection. Servers or users that do not allow it work as well, so a refusal is ignored.
    ///
    /// `CLIENT NO-TOUCH` must not be sent: Redis 8.0.2 and 8.0.6 and Valkey 8.1.1 then crash at the next look at a key
    /// in a slot that is being moved (redis/redis#14415, valkey-io/valkey#2347). PTTL, PEXPIRETIME, OBJECT IDLETIME,
    /// MEMORY USAGE and listings leave idle times alone without it.
    async fn introduce(&self, name: &str) -> Result<(), Fault> {
        let mut pipe = Batch::new();
        pipe.add(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        pipe.add(&[b"PING"]);
        let replies = self.batch(pipe).await?;
        match replies.last() {
            Some(Value::ServerError(e)) => {
                let fault = Fault::from_server(self.address(), e);
                let tolerable = matches!(fault.kind, FaultKind::Forbidden | FaultKind::NotWritable);
                if tolerable { Ok(()) } else { Err(fault) }
            }
            Some(Value::SimpleString(_)) => Ok(()),
            _ => Err(Fault::unexpected(self.address(), "PING")),
        }
    }

    /// Another connection to the same server, for listings.
    pub async fn lister(&self) -> Result<Lister, Fault> {
        let (dial, name) = &*self.origin;
        Lister::connect(dial, name).await
    }

    /// Another connection to the same server that nobody else uses: for what is of one connection, such as watches.
    pub async fn anew(&self) -> Result<Self, Fault> {
        let (dial, name) = &*self.origin;
        Self::connect(dial.clone(), name).await
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.origin.0.address
    }

    /// The user as whom it is used.
    pub(super) fn user(&self) -> &str {
        self.origin.0.info.redis_settings().username().unwrap_or("default")
    }

    /// Whether it runs over TLS.
    pub(super) fn encrypted(&self) -> bool {
        self.origin.0.tls.is_some()
    }

    /// Sends one command. An error answered by the server is a [`Fault`].
    pub async fn command(&self, args: &[&[u8]]) -> Result<Value, Fault> {
        self.command_within(args, RESPONSE_TIMEOUT).await
    }

    /// [`Conn::command`] with another time limit for the answer.
    pub async fn command_within(&self, args: &[&[u8]], limit: Duration) -> Result<Value, Fault> {
        let mut connection = self.connection.clone();
        connection.set_response_timeout(limit);
        let cmd = packed(args);
        let reply = connection.send_packed_command(&cmd).await;
        reply.and_then(Value::extract_error).map_err(|e| Fault::from_redis(self.address(), &e))
    }

    /// Sends one command given as words separated by blanks.
    pub async fn words(&self, command: &str) -> Result<Value, Fault> {
        let args: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        self.command(&args).await
    }

    /// Sends a batch in one write and returns one reply per command; a command that failed answers
    /// [`Value::ServerError`] in its place.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Value>, Fault> {
        let count = batch.0.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut connection = self.connection.clone();
        let replies = connection.send_packed_commands(&batch.0, 0, count).await;
        let replies = replies.map_err(|e| Fault::from_redis(self.address(), &e))?;
        if replies.len() == count {
            Ok(replies)
        } else {
            Err(Fault::unexpected(self.address(), "a pipeline"))
        }
    }

    /// The fault that `reply` is, if it is one.
    #[must_use]
    pub fn fault(&self, reply: &Value) -> Option<Fault> {
        match reply {
            Value::ServerError(e) => Some(Fault::from_server(self.address(), e)),
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

fn packed(args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|a| a.len()).sum();
    let mut cmd = Cmd::with_capacity(args.len(), bytes);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}
