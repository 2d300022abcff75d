//! A connection of its own for listings and look-ups. They are nearly all that is ever asked, so their answers are
//! read here and not through the client library: it makes a value of its own of every key and of every number, which
//! costs the client more than all else that it does with a key. For everything else there is [`Conn`].
//!
//! [`Conn`]: crate::cluster::Conn

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::request::command;
use super::resp::{RespItem, item};
use super::window_reply::KEPT_BYTES;
use crate::cluster::connections::Connections;
use crate::cluster::error::{RedisError, RedisErrorKind};
use crate::cluster::reply_size::{CutCause, OutputLimitStats, ReplySize};
use crate::cluster::socket::{Dial, Socket};
use crate::limits::{GREETING_BYTES_MAX, READ_BYTES, RESPONSE_TIMEOUT};

/// What the server's list of clients calls it.
const NAME: &str = "keysweep-lists";

/// See the module. One that failed is of no use any more. Dropping it closes the connection.
pub(in crate::cluster) struct ListingSocket {
    all: Arc<Connections>,
    pub(super) dial: Dial,
    socket: Box<dyn Socket>,
    pub(super) request: Vec<u8>,
    /// What is known of the server's answers.
    pub(super) size: Arc<ReplySize>,
    /// What the server said of itself when this was connected; `None` if it does not.
    pub(super) account: Option<OutputLimitStats>,
    /// Whether it reads a replica of a cluster.
    readonly: bool,
    /// Whether no listing may be asked for twice.
    pub(super) once: bool,
    /// How the last answer ended that did not come whole.
    pub(super) broken: Option<CloseCause>,
}

/// How an answer ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCause {
    /// The server closed the connection.
    Closed,
    /// It has more than is read of one.
    TooLong,
    /// It has more than this process can hold beside what it holds already.
    Crowded,
}

impl CloseCause {
    /// Why, as far as it shows by itself.
    pub(super) fn cause(self) -> CutCause {
        match self {
            Self::Closed => CutCause::Unknown,
            Self::TooLong => CutCause::TooLong,
            Self::Crowded => CutCause::Crowded,
        }
    }
}

impl ListingSocket {
    /// Connects to the server of `all` as `dial` says, to the same database and as the same user as any connection.
    pub(super) async fn connect(all: &Arc<Connections>, dial: &Dial) -> Result<Self, RedisError> {
        let mut line = Self {
            all: Arc::clone(all),
            dial: dial.clone(),
            socket: all.open(dial).await?,
            request: Vec::new(),
            size: ReplySize::of(&dial.address),
            account: None,
            readonly: false,
            once: false,
            broken: None,
        };
        match line.handshake().await {
            Ok(()) => Ok(line),
            Err(fault) => {
                drop(line);
                Err(dial.blame(all.explain(dial, fault).await))
            }
        }
    }

    /// The same on a new connection.
    pub(super) async fn connect_again(&mut self) -> Result<(), RedisError> {
        // The one before is closed first: servers may allow few.
        self.socket = Box::new(tokio::io::empty());
        self.socket = self.all.open(&self.dial).await?;
        self.handshake().await?;
        if self.readonly { self.ask_readonly().await } else { Ok(()) }
    }

    async fn handshake(&mut self) -> Result<(), RedisError> {
        self.broken = None;
        let met = timeout(RESPONSE_TIMEOUT, async {
            self.introduce().await?;
            self.ask_account().await
        });
        self.account = met.await.unwrap_or_else(|_| Err(self.lost(&"no answer in time")))?;
        if let Some(account) = &self.account {
            self.size.observe(account);
        }
        Ok(())
    }

    /// Whether it still stands, after nothing was expected over it for a while: a server may close what is idle.
    pub(super) fn is_open(&mut self) -> bool {
        self.socket.read(&mut [0]).now_or_never().is_none()
    }

    /// Says who we are, and which database we mean. Servers or users that do not allow the name work as well.
    async fn introduce(&mut self) -> Result<(), RedisError> {
        let settings = self.dial.info.redis_settings();
        let (mut needed, db) = (0, settings.db().to_string());
        if let Some(password) = settings.password() {
            match settings.username() {
                Some(user) => command(&mut self.request, &[b"AUTH", user.as_bytes(), password.as_bytes()]),
                None => command(&mut self.request, &[b"AUTH", password.as_bytes()]),
            }
            needed += 1;
        }
        if settings.db() != 0 {
            command(&mut self.request, &[b"SELECT", db.as_bytes()]);
            needed += 1;
        }
        command(&mut self.request, &[b"CLIENT", b"SETNAME", NAME.as_bytes()]);
        self.send().await?;
        let refused = self.refused(needed + 1).await?;
        refused.into_iter().take(needed).flatten().next().map_or(Ok(()), Err)
    }

    /// Asks to be answered by a replica of a cluster, which otherwise sends us to its primary. Once is enough.
    ///
    /// # Errors
    /// As any connection's.
    pub(super) async fn readonly(&mut self) -> Result<(), RedisError> {
        if self.readonly {
            return Ok(());
        }
        self.ask_readonly().await
    }

    async fn ask_readonly(&mut self) -> Result<(), RedisError> {
        command(&mut self.request, &[b"READONLY"]);
        self.send().await?;
        let refused = timeout(RESPONSE_TIMEOUT, self.refused(1)).await;
        let refused = refused.unwrap_or_else(|_| Err(self.lost(&"no answer in time")))?;
        self.readonly = true;
        refused.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// What the server says of itself; `None` if it does not, or not to us.
    async fn ask_account(&mut self) -> Result<Option<OutputLimitStats>, RedisError> {
        // Redis 6.2 takes one section in a call.
        command(&mut self.request, &[b"INFO", b"server"]);
        command(&mut self.request, &[b"INFO", b"stats"]);
        self.send().await?;
        let (mut said, mut at, mut told, mut answers) = (Vec::new(), 0, Vec::new(), 0);
        while answers < 2 {
            match item(&said, &mut at) {
                Ok(None) => self.receive_greeting(&mut said).await?,
                Ok(Some(RespItem::Text(place))) => {
                    answers += 1;
                    told.extend_from_slice(&said[place]);
                }
                Ok(Some(RespItem::Error(_) | RespItem::Nil)) => answers += 1,
                Ok(Some(_)) | Err(_) => return Err(RedisError::unexpected(&self.dial.address, "INFO")),
            }
        }
        Ok(OutputLimitStats::of(&told))
    }

    /// Waits for the answers to so many commands that answer OK, and nothing else: the fault that each answers instead.
    ///
    /// # Errors
    /// [`RedisErrorKind::TooManyClients`] as soon as the server says so, because it answers nothing after it.
    async fn refused(&mut self, commands: usize) -> Result<Vec<Option<RedisError>>, RedisError> {
        let (mut said, mut at, mut refused) = (Vec::new(), 0, Vec::new());
        while refused.len() < commands || at < said.len() {
            match item(&said, &mut at) {
                Ok(None) => self.receive_greeting(&mut said).await?,
                Ok(Some(RespItem::Status(_))) if refused.len() < commands => refused.push(None),
                Ok(Some(RespItem::Error(words))) if refused.len() < commands => {
                    let fault = RedisError::from_words(&self.dial.address, &said[words]);
                    if fault.kind == RedisErrorKind::TooManyClients {
                        return Err(fault);
                    }
                    refused.push(Some(fault));
                }
                Ok(Some(_)) | Err(_) => return Err(RedisError::unexpected(&self.dial.address, "AUTH")),
            }
        }
        Ok(refused)
    }

    pub(super) async fn send(&mut self) -> Result<(), RedisError> {
        let sent = async {
            self.socket.write_all(&self.request).await?;
            // What TLS has encrypted may still wait for the socket.
            self.socket.flush().await
        };
        let sent = sent.await;
        self.request.clear();
        self.request.shrink_to(KEPT_BYTES);
        sent.map_err(|e| self.failed(&e))
    }

    /// [`Line::receive`] of what is answered before the first listing.
    async fn receive_greeting(&mut self, bytes: &mut Vec<u8>) -> Result<(), RedisError> {
        if bytes.len() < GREETING_BYTES_MAX {
            return self.receive(bytes).await;
        }
        let said = format!("more than {GREETING_BYTES_MAX} bytes in answer to `CLIENT SETNAME` or `INFO`");
        Err(RedisError::new(RedisErrorKind::Protocol, self.dial.address.as_str(), said))
    }

    /// Appends what the server sends next.
    pub(super) async fn receive(&mut self, bytes: &mut Vec<u8>) -> Result<(), RedisError> {
        bytes.reserve(READ_BYTES);
        match self.socket.read_buf(bytes).await {
            Ok(0) => {
                self.broken = Some(CloseCause::Closed);
                Err(self.lost(&"the server closed the connection"))
            }
            Ok(_) => Ok(()),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn failed(&mut self, error: &io::Error) -> RedisError {
        let closed = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        );
        self.broken = closed.then_some(CloseCause::Closed);
        self.lost(error)
    }

    pub(super) fn lost(&self, said: &dyn fmt::Display) -> RedisError {
        RedisError::new(RedisErrorKind::ConnectionLost, self.dial.address.as_str(), said.to_string())
    }
}
