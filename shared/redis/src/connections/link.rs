//! One connection that all parts of a process share, for any user and any database.
//!
//! A server remembers user and database per connection. So before a part with another user or database sends anything,
//! all pending replies must have arrived, and AUTH and SELECT must have succeeded; other senders wait meanwhile. If all
//! parts use the same user and database, no part waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Value};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Connections;
use crate::conn::packed;
use crate::error::{RedisError, RedisErrorKind};
use crate::limits::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};
use crate::socket::{BoundedSocket, CloseReason, Dial, Expected, ExpectedGuard, Expecting};

/// A user and a database at a server. No `Debug`, because of the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ConnIdentity {
    user: Option<String>,
    password: Option<String>,
    db: i64,
}

impl ConnIdentity {
    /// The identity of `dial`.
    pub(crate) fn of(dial: &Dial) -> Self {
        let settings = dial.info.redis_settings();
        let word = |word: Option<&str>| word.map(str::to_owned);
        Self { user: word(settings.username()), password: word(settings.password()), db: settings.db() }
    }

    /// The AUTH command that switches a connection to this user.
    fn login(&self) -> Vec<&[u8]> {
        match (&self.user, &self.password) {
            (None, Some(password)) => vec![b"AUTH", password.as_bytes()],
            // A user without a password accepts any; one with a password refuses this one.
            (user, password) => vec![
                b"AUTH",
                user.as_deref().unwrap_or("default").as_bytes(),
                password.as_deref().unwrap_or_default().as_bytes(),
            ],
        }
    }

    fn is_same_user(&self, other: &Self) -> bool {
        (&self.user, &self.password) == (&other.user, &other.password)
    }
}

/// The right to send over a connection with this identity. The value is `None` if the identity is unknown, because a
/// change of it was not completed.
pub(crate) type SharedGuard = OwnedRwLockReadGuard<Option<ConnIdentity>>;

/// The exclusive right to send over a connection.
pub(crate) type ExclusiveGuard = OwnedRwLockWriteGuard<Option<ConnIdentity>>;

/// A shared connection to one server. Dropping it closes it.
pub(crate) struct ServerConnection {
    connection: MultiplexedConnection,
    /// When it was opened.
    pub(crate) opened: Instant,
    /// The task that moves bytes between connection and socket. Ending it closes the socket.
    driver: AbortOnDropHandle<()>,
    /// Whether it failed and is no longer handed out.
    discarded: AtomicBool,
    /// Why its socket was closed.
    left: CloseReason,
    /// The requests in flight over it.
    expecting: Expecting,
    /// Its current identity.
    now: Arc<RwLock<Option<ConnIdentity>>>,
    /// The permit of a connection that takes the place of a listing connection.
    _turn: Option<OwnedSemaphorePermit>,
}

impl ServerConnection {
    /// Connects to the server of `all` with the settings of `dial`; `name` is for the server's client list.
    pub(super) async fn connect(
        all: &Connections,
        dial: &Dial,
        name: &str,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Self, RedisError> {
        let socket = BoundedSocket::new(all.open(dial).await?);
        let (left, expecting) = (socket.close_reason(), socket.expecting());
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_TIMEOUT));
        let meeting = MultiplexedConnection::new_with_config(dial.info.redis_settings(), socket, config);
        let met = timeout(CONNECT_TIMEOUT, meeting).await;
        let late = |_| RedisError::new(RedisErrorKind::Unreachable, &*dial.address, "no reply in time");
        let (connection, driver) = match met.map_err(late)? {
            Ok(met) => met,
            Err(e) => {
                let fault = all.explain(dial, RedisError::from_redis(&dial.address, &e)).await;
                // No command of ours has run yet.
                let kind = if fault.kind == RedisErrorKind::ConnectionLost {
                    RedisErrorKind::Unreachable
                } else {
                    fault.kind
                };
                return Err(dial.blame(RedisError { kind, ..fault }));
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the connection, and tells it what went wrong"
        )]
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        let now = Arc::new(RwLock::new(Some(ConnIdentity::of(dial))));
        let discarded = AtomicBool::new(false);
        let opened = Instant::now();
        let link = Self { connection, opened, driver, discarded, left, expecting, now, _turn: turn };
        match link.set_name(dial, name).await {
            Ok(()) => Ok(link),
            Err(fault) => {
                drop(link);
                Err(dial.blame(all.explain(dial, fault).await))
            }
        }
    }

    /// Names the connection. Servers or users that do not allow it work as well, so an error is ignored.
    ///
    /// `CLIENT NO-TOUCH` must not be sent: Redis 8.0.2 and 8.0.6 and Valkey 8.1.1 then crash at the next lookup of a
    /// key in a slot that is being moved (redis/redis#14415, valkey-io/valkey#2347). PTTL, PEXPIRETIME, OBJECT
    /// IDLETIME, MEMORY USAGE and listings do not change idle times even without it.
    async fn set_name(&self, dial: &Dial, name: &str) -> Result<(), RedisError> {
        let mut pipe = redis::Pipeline::new();
        pipe.add_command(packed(&[b"CLIENT", b"SETNAME", name.as_bytes()]));
        pipe.add_command(packed(&[b"PING"]));
        let replies = self.connection().send_packed_commands(&pipe, 0, 2).await;
        let replies = replies.map_err(|e| self.failed(dial, &e))?;
        match replies.last() {
            Some(Value::ServerError(e)) => {
                let fault = RedisError::from_server(&dial.address, e);
                let tolerable =
                    matches!(fault.kind, RedisErrorKind::PermissionDenied | RedisErrorKind::NotWritable);
                if tolerable { Ok(()) } else { Err(fault) }
            }
            Some(Value::SimpleString(_)) => Ok(()),
            _ => Err(RedisError::unexpected(&dial.address, "PING")),
        }
    }

    /// Converts `error`.
    pub(crate) fn failed(&self, dial: &Dial, error: &redis::RedisError) -> RedisError {
        let fault = RedisError::from_redis(&dial.address, error);
        match (fault.kind, self.left.text()) {
            (RedisErrorKind::ConnectionLost, Some(text)) => {
                RedisError::new(RedisErrorKind::Protocol, &*dial.address, text)
            }
            _ => fault,
        }
    }

    /// Raises the reply limit to `expected` until the returned guard is dropped.
    pub(crate) fn expect(&self, expected: Expected) -> ExpectedGuard {
        self.expecting.now(expected)
    }

    /// The client library's handle to send commands.
    pub(crate) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Whether it works, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.discarded.load(Ordering::Relaxed) && !self.driver.is_finished()
    }

    /// Closes it for all who share it, because it failed. Their pending requests fail with a lost connection.
    pub(crate) fn discard(&self) {
        self.discarded.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// The right to send as `wanted`, if the connection has that identity already and no other identity waits. Dropping
    /// it lets another identity in.
    pub(crate) fn try_enter(&self, wanted: &ConnIdentity) -> Option<SharedGuard> {
        Arc::clone(&self.now).try_read_owned().ok().filter(|now| now.as_ref() == Some(wanted))
    }

    /// The right to send, once the connection is switched to `wanted`.
    pub(crate) async fn enter(&self, dial: &Dial, wanted: &ConnIdentity) -> Result<SharedGuard, RedisError> {
        let now = Arc::clone(&self.now).read_owned().await;
        if now.as_ref() == Some(wanted) {
            return Ok(now);
        }
        drop(now);
        Ok(self.enter_exclusive(dial, wanted).await?.downgrade())
    }

    /// The exclusive right to send, once the connection is switched to `wanted`.
    pub(crate) async fn enter_exclusive(
        &self,
        dial: &Dial,
        wanted: &ConnIdentity,
    ) -> Result<ExclusiveGuard, RedisError> {
        let mut now = Arc::clone(&self.now).write_owned().await;
        let Some(mut is) = now.take() else {
            self.discard();
            return Err(RedisError::new(
                RedisErrorKind::ConnectionLost,
                &*dial.address,
                "the identity of the connection is unknown",
            ));
        };
        let changed = self.change(dial, &mut is, wanted).await;
        if changed.as_ref().is_err_and(|fault| fault.kind == RedisErrorKind::ConnectionLost) {
            self.discard();
        }
        *now = Some(is);
        changed.map(|()| now)
    }

    /// Switches the connection from identity `is` to `wanted`.
    async fn change(
        &self,
        dial: &Dial,
        is: &mut ConnIdentity,
        wanted: &ConnIdentity,
    ) -> Result<(), RedisError> {
        if !is.is_same_user(wanted) {
            let refused = |fault: RedisError| match fault.kind {
                RedisErrorKind::CommandError => RedisError { kind: RedisErrorKind::Authentication, ..fault },
                _ => fault,
            };
            self.ask(dial, &wanted.login()).await.map_err(|fault| dial.blame(refused(fault)))?;
            *is = ConnIdentity { db: is.db, ..wanted.clone() };
        }
        if is.db != wanted.db {
            self.ask(dial, &[b"SELECT", wanted.db.to_string().as_bytes()]).await?;
            is.db = wanted.db;
        }
        Ok(())
    }

    async fn ask(&self, dial: &Dial, args: &[&[u8]]) -> Result<Value, RedisError> {
        let reply = self.connection().send_packed_command(&packed(args)).await;
        reply.and_then(Value::extract_error).map_err(|e| self.failed(dial, &e))
    }
}
