//! The open HTTP connections, and which one to close when a new one finds no room (pure). Only idle connections are
//! closed: a client that sends its request at once is answered, however many idle connections its address has.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// Limits of open connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// In all.
    pub(super) total: usize,
    /// From one address.
    pub(super) per_address: usize,
}

/// A connection. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenConnection {
    /// Number of requests in progress: all of them has arrived.
    in_progress: Arc<AtomicUsize>,
    /// Cancelled when the connection must close.
    pub(super) leave: CancellationToken,
}

impl OpenConnection {
    /// A request whose head has arrived, until the returned value is dropped.
    pub(super) fn expect_request(&self) -> ActiveRequest {
        ActiveRequest { in_progress: Arc::clone(&self.in_progress), arrived: AtomicBool::new(false) }
    }

    fn waits(&self) -> bool {
        self.in_progress.load(Ordering::Relaxed) == 0
    }
}

/// A request, until it is answered.
pub(super) struct ActiveRequest {
    in_progress: Arc<AtomicUsize>,
    arrived: AtomicBool,
}

impl ActiveRequest {
    /// Counts it as in progress: nothing more is expected of its client.
    pub(super) fn arrive(&self) {
        if !self.arrived.swap(true, Ordering::Relaxed) {
            self.in_progress.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if *self.arrived.get_mut() {
            self.in_progress.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The decision on a new connection.
#[derive(Debug)]
pub(super) enum Admission {
    /// There was room.
    Free(u64, OpenConnection),
    /// There is room because an idle connection is closed.
    Cleared(u64, OpenConnection),
    /// No room: all connections have a request in progress.
    Refused,
}

/// The open connections.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    room: ConnectionLimits,
    next: u64,
    /// By order of arrival.
    present: BTreeMap<u64, (IpAddr, OpenConnection)>,
}

impl ConnectionTable {
    pub(super) fn new(room: ConnectionLimits) -> Self {
        Self { room, next: 0, present: BTreeMap::new() }
    }

    /// Admits a connection from `address`, if there is room or an idle one can be closed.
    pub(super) fn enter(&mut self, address: IpAddr) -> Admission {
        let from = network(address);
        let full_for_it = self.from(from).count() >= self.room.per_address;
        let goes = if full_for_it {
            self.longest_waiting(from)
        } else if self.present.len() >= self.room.total {
            self.most_waiting().and_then(|from| self.longest_waiting(from))
        } else {
            return self.seated(from, Admission::Free);
        };
        let Some(goes) = goes else { return Admission::Refused };
        if let Some((_, connection)) = self.present.remove(&goes) {
            connection.leave.cancel();
        }
        self.seated(from, Admission::Cleared)
    }

    /// Removes a connection that has ended.
    pub(super) fn leave(&mut self, number: u64) {
        self.present.remove(&number);
    }

    fn seated(&mut self, from: IpAddr, entry: fn(u64, OpenConnection) -> Admission) -> Admission {
        let (number, connection) = (self.next, OpenConnection::default());
        self.next += 1;
        self.present.insert(number, (from, connection.clone()));
        entry(number, connection)
    }

    fn from(&self, from: IpAddr) -> impl Iterator<Item = (u64, &OpenConnection)> {
        let same = self.present.iter().filter(move |(_, (address, _))| *address == from);
        same.map(|(number, (_, connection))| (*number, connection))
    }

    fn longest_waiting(&self, from: IpAddr) -> Option<u64> {
        self.from(from).find(|(_, connection)| connection.waits()).map(|(number, _)| number)
    }

    /// The address with the most idle connections.
    fn most_waiting(&self) -> Option<IpAddr> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (address, _) in self.present.values().filter(|(_, connection)| connection.waits()) {
            *counts.entry(*address).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
    }
}

/// The unit that the limit per address counts: for IPv6 the /64, which usually belongs to one client.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: ConnectionLimits = ConnectionLimits { total: 4, per_address: 2 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn whole_request(connection: &OpenConnection) -> ActiveRequest {
        let request = connection.expect_request();
        request.arrive();
        request
    }

    fn enter(table: &mut ConnectionTable, from: &str) -> (u64, OpenConnection) {
        match table.enter(address(from)) {
            Admission::Free(number, connection) | Admission::Cleared(number, connection) => {
                (number, connection)
            }
            Admission::Refused => panic!("no room for {from}"),
        }
    }

    #[test]
    fn idle_connections_of_an_address_are_closed_oldest_first() {
        let mut table = ConnectionTable::new(ROOM);
        let (_, other) = enter(&mut table, "10.0.0.2");
        let (_, first) = enter(&mut table, "10.0.0.1");
        let (_, second) = enter(&mut table, "10.0.0.1");
        assert!(matches!(table.enter(address("10.0.0.1")), Admission::Cleared(..)));
        assert!(first.leave.is_cancelled() && !second.leave.is_cancelled() && !other.leave.is_cancelled());
        assert_eq!(table.present.len(), 3);
    }

    #[test]
    fn connections_with_a_request_in_progress_stay() {
        let mut table = ConnectionTable::new(ROOM);
        let (_, first) = enter(&mut table, "10.0.0.1");
        let (_, second) = enter(&mut table, "10.0.0.1");
        let (asking, _half) = (whole_request(&first), second.expect_request());
        assert!(matches!(table.enter(address("10.0.0.1")), Admission::Cleared(..)));
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        let busy: Vec<_> = table.present.values().map(|(_, connection)| whole_request(connection)).collect();
        assert!(matches!(table.enter(address("10.0.0.1")), Admission::Refused));
        drop((asking, busy));
        assert!(matches!(table.enter(address("10.0.0.1")), Admission::Cleared(..)));
        assert!(first.leave.is_cancelled());
    }

    #[test]
    fn a_full_table_closes_a_connection_of_the_address_with_most() {
        let mut table = ConnectionTable::new(ROOM);
        let (_, quiet) = enter(&mut table, "10.0.0.2");
        let (_, first) = enter(&mut table, "10.0.0.1");
        let (number, _) = enter(&mut table, "10.0.0.1");
        enter(&mut table, "10.0.0.3");
        assert!(matches!(table.enter(address("10.0.0.4")), Admission::Cleared(..)));
        assert!(first.leave.is_cancelled() && !quiet.leave.is_cancelled());
        table.leave(number);
        assert!(matches!(table.enter(address("10.0.0.5")), Admission::Free(..)));
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let same = |one: &str, two: &str| network(address(one)) == network(address(two));
        assert!(same("2001:db8::1", "2001:db8::2:3") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1") && !same("10.0.0.1", "10.0.0.2"));
    }
}
