//! The connections of this process to one server, at most [`CONNECTIONS_MAX`] for all its parts together, so that a
//! run's share of a server's `maxclients` is known in advance.
//!
//! | connection | used by |
//! |---|---|
//! | commands | all parts of the process, concurrently: plan, lock, slots, clocks, samples of keys |
//! | acts | reapers: scripts and WAIT, which blocks a connection; or transactions, one at a time |
//! | listings (2) | one window of keys at a time; while a latency budget is kept, probes use one of them |
//!
//! Each is made at its first use, and closed when its last holder drops it. A [`ConnectionLimit`] counts the sockets
//! below all of this: a mistake here makes a caller wait, and never opens a fifth connection.
//!
//! A server is an address (IP and port, or a socket file), reached over TLS with one set of certificates, or without
//! TLS. All users and databases of a process share its connections (see [`ServerConnection`]). A server with two
//! addresses counts as two servers.

mod connection_limit;
mod endpoint;
mod idle_listings;
mod link;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Mutex as Turns, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

pub(super) use self::connection_limit::{ConnectionLimit, ConnectionPermit};
pub(super) use self::endpoint::Endpoint;
use self::endpoint::endpoints;
pub(super) use self::idle_listings::IdleListings;
pub(super) use self::link::{ConnIdentity, ExclusiveGuard, ServerConnection, SharedGuard};
use super::conn::Conn;
use super::error::{RedisError, RedisErrorKind};
use super::socket::{Dial, Socket, explain, open};
use crate::limits::LISTINGS_AT_ONCE;

/// The purpose of a shared connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Commands of all kinds.
    Commands,
    /// Deletes and other actions of reapers.
    Acts,
    /// Latency probes.
    Probes,
}

impl ConnectionUse {
    /// The connection name in the server's client list.
    fn name(self) -> &'static str {
        match self {
            Self::Commands => "keysweep",
            Self::Acts => "keysweep-acts",
            Self::Probes => "keysweep-probes",
        }
    }
}

/// The connections to one server.
pub(super) struct Connections {
    endpoint: Endpoint,
    limit: ConnectionLimit,
    commands: Turns<Slot>,
    acts: Turns<Slot>,
    probes: Turns<Slot>,
    /// One permit per connection that lists or probes.
    listings: Arc<Semaphore>,
    lines: Mutex<Weak<IdleListings>>,
}

#[derive(Default)]
struct Slot {
    link: Weak<ServerConnection>,
    /// The error of the last failed attempt to connect, and its time.
    failed: Option<(Instant, RedisError)>,
}

/// A server, and the identity of how it is reached.
type Name = (Endpoint, (usize, usize));

struct KnownServers {
    /// Outlives the connections, whose sockets are closed a moment later.
    limit: ConnectionLimit,
    all: Weak<Connections>,
}

/// The servers that this process is connected to.
static KNOWN: LazyLock<Mutex<BTreeMap<Name, KnownServers>>> = LazyLock::new(Mutex::default);

/// This process's connection to the server of `dial` for this use; made if there is none. With `None`, one that is not
/// counted: for servers that we started ourselves, and their tests.
///
/// # Errors
/// When it cannot be made, or the server refuses the user or the database.
pub(super) async fn connect(dial: Dial, to: Option<ConnectionUse>) -> Result<Conn, RedisError> {
    let mut last = RedisError::new(RedisErrorKind::Unreachable, &*dial.address, "its name has no address");
    for endpoint in endpoints(&dial, |endpoint| is_open(&(endpoint.clone(), dial.way()))).await? {
        let all = match to {
            Some(_) => of((endpoint, dial.way())),
            None => Arc::new(Connections::new(endpoint, ConnectionLimit::default())),
        };
        match all.conn(&dial, to.unwrap_or(ConnectionUse::Commands)).await {
            Err(fault) if fault.kind == RedisErrorKind::Unreachable => last = fault,
            connected => return connected,
        }
    }
    Err(last)
}

fn of(name: Name) -> Arc<Connections> {
    let mut known = lock(&KNOWN);
    if let Some(all) = known.get(&name).and_then(|known| known.all.upgrade()) {
        return all;
    }
    known.retain(|_, known| known.all.strong_count() > 0 || known.limit.in_use() > 0);
    let limit = known.get(&name).map(|known| known.limit.clone()).unwrap_or_default();
    let all = Arc::new(Connections::new(name.0.clone(), limit.clone()));
    known.insert(name, KnownServers { limit, all: Arc::downgrade(&all) });
    all
}

fn is_open(name: &Name) -> bool {
    lock(&KNOWN).get(name).is_some_and(|known| known.all.strong_count() > 0)
}

impl Connections {
    fn new(endpoint: Endpoint, limit: ConnectionLimit) -> Self {
        Self {
            endpoint,
            limit,
            commands: Turns::default(),
            acts: Turns::default(),
            probes: Turns::default(),
            listings: Arc::new(Semaphore::new(LISTINGS_AT_ONCE)),
            lines: Mutex::default(),
        }
    }

    /// See [`connect`].
    pub(super) async fn conn(self: &Arc<Self>, dial: &Dial, to: ConnectionUse) -> Result<Conn, RedisError> {
        loop {
            let (link, is_new) = self.link(dial, to).await?;
            let conn = Conn::over(link, dial.clone(), Arc::clone(self));
            match Box::pin(conn.enter()).await {
                // It had broken before.
                Err(fault) if fault.kind == RedisErrorKind::ConnectionLost && !is_new => {}
                entered => return entered.map(|()| conn),
            }
        }
    }

    /// The link for this use, and whether it was made now.
    async fn link(
        &self,
        dial: &Dial,
        to: ConnectionUse,
    ) -> Result<(Arc<ServerConnection>, bool), RedisError> {
        let asked = Instant::now();
        let slot = match to {
            ConnectionUse::Commands => &self.commands,
            ConnectionUse::Acts => &self.acts,
            ConnectionUse::Probes => &self.probes,
        };
        let mut slot = slot.lock().await;
        if let Some(link) = slot.link.upgrade().filter(|link| link.is_open()) {
            return Ok((link, false));
        }
        // A caller that waited while another attempt failed does not retry at once.
        if let Some((_, fault)) = slot.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(fault.clone());
        }
        let turn = if to == ConnectionUse::Probes { self.turn_to_probe().await } else { None };
        match ServerConnection::connect(self, dial, to.name(), turn).await {
            Ok(link) => {
                let link = Arc::new(link);
                *slot = Slot { link: Arc::downgrade(&link), failed: None };
                Ok((link, true))
            }
            Err(fault) => {
                let of_server =
                    matches!(fault.kind, RedisErrorKind::Unreachable | RedisErrorKind::TooManyClients);
                slot.failed = of_server.then(|| (Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Opens a socket to the server.
    pub(super) async fn open(&self, dial: &Dial) -> Result<Box<dyn Socket>, RedisError> {
        open(dial, &self.endpoint, &self.limit).await
    }

    /// Finds the reason why the first exchange over a socket failed with `fault`.
    pub(super) async fn explain(&self, dial: &Dial, fault: RedisError) -> RedisError {
        explain(dial, &self.endpoint, &self.limit, fault).await
    }

    /// Waits for a permit to list. Dropping it lets the next caller list.
    pub(super) async fn turn_to_list(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.listings.acquire().await.ok()
    }

    /// A permit for as long as a link lives. One idle listing connection is closed in exchange.
    async fn turn_to_probe(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.listings).acquire_owned().await.ok();
        if let Some(lines) = lock(&self.lines).upgrade() {
            lines.keep(self.turns_left());
        }
        turn
    }

    /// Free permits; each allows one idle connection.
    pub(super) fn turns_left(&self) -> usize {
        self.listings.available_permits()
    }

    /// The idle listing connections. Dropping the last reference closes them.
    pub(super) fn lines(&self) -> Arc<IdleListings> {
        let mut place = lock(&self.lines);
        place.upgrade().unwrap_or_else(|| {
            let lines = Arc::default();
            *place = Arc::downgrade(&lines);
            lines
        })
    }

    /// Connections that are open now.
    pub(super) fn in_use(&self) -> usize {
        self.limit.in_use()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
