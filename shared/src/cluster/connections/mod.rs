//! The connections of this process to one server: [`CONNECTIONS_MAX`] at most, whatever part of it asks for them, so
//! that it is known before a run what it takes of a server's `maxclients`.
//!
//! | connection | who uses it |
//! |---|---|
//! | commands | all parts of the process, side by side: plan, lock, slots, clocks, samples of keys |
//! | acts | reapers: scripts, and waiting for replicas, which holds up a connection; or transactions, one at a time |
//! | listings (2) | a window of keys at a time; while a latency budget is kept, probes have one of them |
//!
//! Each is made when it is first used, and closed with the last one who holds it. [`ConnectionLimit`] are counted below all of
//! that, by the socket: a mistake here makes somebody wait, and opens no fifth connection.
//!
//! A server is an address (IP and port, or a socket file), reached over TLS with one set of certificates, or without
//! TLS. All users and all databases of a process share its connections (see [`ServerConnection`]). A server with two addresses is
//! two servers here.

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

/// What a connection that is shared is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// Commands of all kinds, of all parts.
    Commands,
    /// What reapers do.
    Acts,
    /// Measuring how long a server takes to answer.
    Probes,
}

impl ConnectionUse {
    /// What the server's list of clients calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Commands => "keysweep",
            Self::Acts => "keysweep-acts",
            Self::Probes => "keysweep-probes",
        }
    }
}

/// See the module.
pub(super) struct Connections {
    endpoint: Endpoint,
    seats: ConnectionLimit,
    commands: Turns<Slot>,
    acts: Turns<Slot>,
    probes: Turns<Slot>,
    /// A permit per connection that lists, or probes.
    listings: Arc<Semaphore>,
    lines: Mutex<Weak<IdleListings>>,
}

#[derive(Default)]
struct Slot {
    link: Weak<ServerConnection>,
    /// Why the last attempt to connect failed, and when that was.
    failed: Option<(Instant, RedisError)>,
}

/// A server, and which certificates are used there.
type Name = (Endpoint, usize);

struct KnownServers {
    /// Outlives the connections, whose sockets are closed a moment later.
    seats: ConnectionLimit,
    all: Weak<Connections>,
}

/// The servers that this process is connected to.
static KNOWN: LazyLock<Mutex<BTreeMap<Name, KnownServers>>> = LazyLock::new(Mutex::default);

/// The connection of this process to the server that `dial` leads to, for this use; made if there is none. With `None`,
/// one that is not counted: for servers that we started ourselves, and their tests.
///
/// # Errors
/// When it cannot be made, or the server refuses the user or the database.
pub(super) async fn connect(dial: Dial, to: Option<ConnectionUse>) -> Result<Conn, RedisError> {
    let mut last = RedisError::new(RedisErrorKind::Unreachable, &*dial.address, "its name has no address");
    for endpoint in endpoints(&dial, |endpoint| is_open(&(endpoint.clone(), dial.tls_identity()))).await? {
        let all = match to {
            Some(_) => of((endpoint, dial.tls_identity())),
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
    known.retain(|_, known| known.all.strong_count() > 0 || known.seats.in_use() > 0);
    let seats = known.get(&name).map(|known| known.seats.clone()).unwrap_or_default();
    let all = Arc::new(Connections::new(name.0.clone(), seats.clone()));
    known.insert(name, KnownServers { seats, all: Arc::downgrade(&all) });
    all
}

fn is_open(name: &Name) -> bool {
    lock(&KNOWN).get(name).is_some_and(|known| known.all.strong_count() > 0)
}

impl Connections {
    fn new(endpoint: Endpoint, seats: ConnectionLimit) -> Self {
        Self {
            endpoint,
            seats,
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
        // Whoever waited while another one tried in vain need not try once more.
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

    /// A socket to the server.
    pub(super) async fn open(&self, dial: &Dial) -> Result<Box<dyn Socket>, RedisError> {
        open(dial, &self.endpoint, &self.seats).await
    }

    /// Why the first words over a socket failed with `fault`.
    pub(super) async fn explain(&self, dial: &Dial, fault: RedisError) -> RedisError {
        explain(dial, &self.endpoint, &self.seats, fault).await
    }

    /// Waits for the turn to list. Dropping the permit lets the next one in.
    pub(super) async fn turn_to_list(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.listings.acquire().await.ok()
    }

    /// The same for as long as a link lives. The connection that listed in this turn is closed.
    async fn turn_to_probe(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.listings).acquire_owned().await.ok();
        if let Some(lines) = lock(&self.lines).upgrade() {
            lines.keep(self.turns_left());
        }
        turn
    }

    /// Turns that nobody has, each of which may have a connection that waits for its next use.
    pub(super) fn turns_left(&self) -> usize {
        self.listings.available_permits()
    }

    /// The connections that listed and wait for their next use. Dropping the last of these closes them.
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
        self.seats.in_use()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
