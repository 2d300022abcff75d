//! Who is connected over HTTP, and which connection has to go when there is no room for a new one (pure). Only those go
//! that have asked for nothing: a client that sends its request at once is answered, however many others are connected
//! from the same address and say nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

/// How many connections there may be.
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
    /// Requests that are being answered.
    asked: Arc<AtomicUsize>,
    /// It has to go.
    pub(super) leave: CancellationToken,
}

impl OpenConnection {
    /// Counts a request as being answered until what is returned is dropped.
    pub(super) fn asks(&self) -> ActiveRequest {
        self.asked.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(&self.asked))
    }

    fn waits(&self) -> bool {
        self.asked.load(Ordering::Relaxed) == 0
    }
}

/// See [`Guest::asks`].
pub(super) struct ActiveRequest(Arc<AtomicUsize>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a new connection was admitted.
#[derive(Debug)]
pub(super) enum Admission {
    /// There was room.
    Free(u64, OpenConnection),
    /// There is room because another one has to go.
    Cleared(u64, OpenConnection),
    /// There is none: all are being answered.
    Refused,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    room: ConnectionLimits,
    next: u64,
    /// By the order in which they came.
    present: BTreeMap<u64, (IpAddr, OpenConnection)>,
}

impl ConnectionTable {
    pub(super) fn new(room: ConnectionLimits) -> Self {
        Self { room, next: 0, present: BTreeMap::new() }
    }

    /// Takes in a connection from `address`, if there is room or another one can go.
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
        if let Some((_, guest)) = self.present.remove(&goes) {
            guest.leave.cancel();
        }
        self.seated(from, Admission::Cleared)
    }

    /// Forgets a connection that has ended.
    pub(super) fn leave(&mut self, number: u64) {
        self.present.remove(&number);
    }

    fn seated(&mut self, from: IpAddr, entry: fn(u64, OpenConnection) -> Admission) -> Admission {
        let (number, guest) = (self.next, OpenConnection::default());
        self.next += 1;
        self.present.insert(number, (from, guest.clone()));
        entry(number, guest)
    }

    fn from(&self, from: IpAddr) -> impl Iterator<Item = (u64, &OpenConnection)> {
        let same = self.present.iter().filter(move |(_, (address, _))| *address == from);
        same.map(|(number, (_, guest))| (*number, guest))
    }

    fn longest_waiting(&self, from: IpAddr) -> Option<u64> {
        self.from(from).find(|(_, guest)| guest.waits()).map(|(number, _)| number)
    }

    /// The address with the most connections that have asked for nothing.
    fn most_waiting(&self) -> Option<IpAddr> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (address, _) in self.present.values().filter(|(_, guest)| guest.waits()) {
            *counts.entry(*address).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
    }
}

/// What counts as one address: of IPv6 the /64, which one client has to itself as a rule.
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

    fn enter(guests: &mut ConnectionTable, from: &str) -> (u64, OpenConnection) {
        match guests.enter(address(from)) {
            Admission::Free(number, guest) | Admission::Cleared(number, guest) => (number, guest),
            Admission::Refused => panic!("no room for {from}"),
        }
    }

    #[test]
    fn an_address_that_says_nothing_pushes_out_its_own_oldest() {
        let mut guests = ConnectionTable::new(ROOM);
        let (_, other) = enter(&mut guests, "10.0.0.2");
        let (_, first) = enter(&mut guests, "10.0.0.1");
        let (_, second) = enter(&mut guests, "10.0.0.1");
        assert!(matches!(guests.enter(address("10.0.0.1")), Admission::Cleared(..)));
        assert!(first.leave.is_cancelled() && !second.leave.is_cancelled() && !other.leave.is_cancelled());
        assert_eq!(guests.present.len(), 3);
    }

    #[test]
    fn who_is_being_answered_stays() {
        let mut guests = ConnectionTable::new(ROOM);
        let (_, first) = enter(&mut guests, "10.0.0.1");
        let (_, second) = enter(&mut guests, "10.0.0.1");
        let asking = first.asks();
        assert!(matches!(guests.enter(address("10.0.0.1")), Admission::Cleared(..)));
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        let busy: Vec<_> = guests.present.values().map(|(_, guest)| guest.asks()).collect();
        assert!(matches!(guests.enter(address("10.0.0.1")), Admission::Refused));
        drop((asking, busy));
        assert!(matches!(guests.enter(address("10.0.0.1")), Admission::Cleared(..)));
        assert!(first.leave.is_cancelled());
    }

    #[test]
    fn where_all_is_full_the_address_with_the_most_gives_way() {
        let mut guests = ConnectionTable::new(ROOM);
        let (_, quiet) = enter(&mut guests, "10.0.0.2");
        let (_, first) = enter(&mut guests, "10.0.0.1");
        let (number, _) = enter(&mut guests, "10.0.0.1");
        enter(&mut guests, "10.0.0.3");
        assert!(matches!(guests.enter(address("10.0.0.4")), Admission::Cleared(..)));
        assert!(first.leave.is_cancelled() && !quiet.leave.is_cancelled());
        guests.leave(number);
        assert!(matches!(guests.enter(address("10.0.0.5")), Admission::Free(..)));
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let same = |one: &str, two: &str| network(address(one)) == network(address(two));
        assert!(same("2001:db8::1", "2001:db8::2:3") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:10.0.0.1", "10.0.0.1") && !same("10.0.0.1", "10.0.0.2"));
    }
}
