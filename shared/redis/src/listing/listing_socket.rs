//! A dedicated connection for listings and lookups. They are nearly all requests, so their replies are parsed here and
//! not by the client library: it allocates a value for every key and every number, which costs the client more than all
//! other work per key. For all other commands use [`Conn`].
//!
//! [`Conn`]: crate::Conn

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::request::command;
use super::resp::{RespItem, item};
use super::window_reply::KEPT_BYTES;
use crate::connections::Connections;
use crate::error::{RedisError, RedisErrorKind};
use crate::limits::{GREETING_BYTES_MAX, READ_BYTES, RESPONSE_TIMEOUT};
use crate::reply_size::{CutCause, OutputLimitStats, ReplySize};
use crate::socket::{Dial, Socket};

/// The connection name in the server's client list.
const NAME: &str = "keysweep-lists";

/// A connection for listings. After an error it cannot be used again. Dropping it closes the connection.
pub(crate) struct ListingSocket {
    all: Arc<Connections>,
    pub(super) dial: Dial,
    socket: Box<dyn Socket>,
    /// When it was opened.
    pub(super) opened: Instant,
    pub(super) request: Vec<u8>,
    /// What is known about the reply sizes of the server.
    pub(super) size: Arc<ReplySize>,
    /// The server's status when this connected; `None` if it reports none.
    pub(super) account: Option<OutputLimitStats>,
    /// Whether it reads from a cluster replica.
    readonly: bool,
    /// Whether no listing may be requested twice.
    pub(super) once: bool,
    /// How the last incomplete reply ended.
    pub(super) broken: Option<CloseCause>,
}

/// How a reply ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCause {
    /// The server closed the connection.
    Closed,
    /// The reply is larger than the read limit.
    TooLong,
    /// The reply is larger than this process can hold in addition to the others.
    Crowded,
}

impl CloseCause {
    /// The cause, as far as this end of the connection shows it.
    pub(super) fn cause(self) -> CutCause {
        match self {
            Self::Closed => CutCause::Unknown,
            Self::TooLong => CutCause::TooLong,
            Self::Crowded => CutCause::Crowded,
        }
    }
}

impl ListingSocket {
    /// Connects to the server of `all` with the settings of `dial`: same database and user as any connection.
    pub(super) async fn connect(all: &Arc<Connections>, dial: &Dial) -> Result<Self, RedisError> {
        let mut line = Self {
            all: Arc::clone(all),
            dial: dial.clone(),
            socket: all.open(dial).await?,
            opened: Instant::now(),
            request: Vec::new(),
            size: ReplySize::of(dial),
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

    /// Connects again, with the same settings.
    pub(super) async fn connect_again(&mut self) -> Result<(), RedisError> {
        // The previous connection is closed first, because the server may allow few.
        self.socket = Box::new(tokio::io::empty());
        self.socket = self.all.open(&self.dial).await?;
        self.opened = Instant::now();
        self.handshake().await?;
        if self.readonly { self.ask_readonly().await } else { Ok(()) }
    }

    async fn handshake(&mut self) -> Result<(), RedisError> {
        self.broken = None;
        let status = timeout(RESPONSE_TIMEOUT, async {
            self.set_up().await?;
            self.ask_account().await
        });
        self.account = status.await.unwrap_or_else(|_| Err(self.lost(&"no reply in time")))?;
        if let Some(account) = &self.account {
            self.size.observe(account);
        }
        Ok(())
    }

    /// Whether it is still open after it was idle: a server may close idle connections.
    pub(super) fn is_open(&mut self) -> bool {
        self.socket.read(&mut [0]).now_or_never().is_none()
    }

    /// Sends login, database and connection name. Servers or users that do not allow the name work as well.
    async fn set_up(&mut self) -> Result<(), RedisError> {
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

    /// Sends READONLY, so that a cluster replica answers instead of redirecting to its primary. Once is enough.
    ///
    /// # Errors
    /// The same as for any connection.
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
        let refused = refused.unwrap_or_else(|_| Err(self.lost(&"no reply in time")))?;
        self.readonly = true;
        refused.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// The server's status; `None` if it reports none, or not to this user.
    async fn ask_account(&mut self) -> Result<Option<OutputLimitStats>, RedisError> {
        // Redis 6.2 accepts one section per call.
        command(&mut self.request, &[b"INFO", b"server"]);
        command(&mut self.request, &[b"INFO", b"stats"]);
        self.send().await?;
        let (mut received, mut at, mut sections, mut answers) = (Vec::new(), 0, Vec::new(), 0);
        while answers < 2 {
            match item(&received, &mut at) {
                Ok(None) => self.receive_greeting(&mut received).await?,
                Ok(Some(RespItem::Text(place))) => {
                    answers += 1;
                    sections.extend_from_slice(&received[place]);
                }
                Ok(Some(RespItem::Error(_) | RespItem::Nil)) => answers += 1,
                Ok(Some(_)) | Err(_) => return Err(RedisError::unexpected(&self.dial.address, "INFO")),
            }
        }
        Ok(OutputLimitStats::of(&sections))
    }

    /// Waits for the replies to `commands` commands, each `OK` or an error, and returns the error of each.
    ///
    /// # Errors
    /// [`RedisErrorKind::TooManyClients`] as soon as the server returns it, because no reply follows.
    async fn refused(&mut self, commands: usize) -> Result<Vec<Option<RedisError>>, RedisError> {
        let (mut received, mut at, mut refused) = (Vec::new(), 0, Vec::new());
        while refused.len() < commands || at < received.len() {
            match item(&received, &mut at) {
                Ok(None) => self.receive_greeting(&mut received).await?,
                Ok(Some(RespItem::Status(_))) if refused.len() < commands => refused.push(None),
                Ok(Some(RespItem::Error(words))) if refused.len() < commands => {
                    let fault = RedisError::from_text(&self.dial.address, &received[words]);
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
            // TLS may buffer encrypted data until a flush.
            self.socket.flush().await
        };
        let sent = sent.await;
        self.request.clear();
        self.request.shrink_to(KEPT_BYTES);
        sent.map_err(|e| self.failed(&e))
    }

    /// [`ListingSocket::receive`] for replies before the first listing.
    async fn receive_greeting(&mut self, bytes: &mut Vec<u8>) -> Result<(), RedisError> {
        if bytes.len() < GREETING_BYTES_MAX {
            return self.receive(bytes).await;
        }
        let detail = format!("more than {GREETING_BYTES_MAX} bytes in reply to `CLIENT SETNAME` or `INFO`");
        Err(RedisError::new(RedisErrorKind::Protocol, self.dial.address.as_str(), detail))
    }

    /// Appends the next bytes from the server.
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

    pub(super) fn lost(&self, detail: &dyn fmt::Display) -> RedisError {
        RedisError::new(RedisErrorKind::ConnectionLost, self.dial.address.as_str(), detail.to_string())
    }
}
