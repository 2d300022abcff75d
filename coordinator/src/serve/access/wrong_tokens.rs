//! Slows down addresses that guess tokens. Pure: `now` is an argument.
//!
//! Each wrong token costs its address a second, and an address may be a minute in debt. Until it has paid, none of its
//! tokens is looked at, the right one included, so that the answer reveals nothing. A token that was just refused costs
//! nothing more: a program with an old token is no guesser, and must not shut out others at its address.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use keysweep_http::token_digest;

use crate::limits::{WRONG_TOKEN_COST, WRONG_TOKENS_ADDRESSES_MAX, WRONG_TOKENS_DEBT_MAX};

/// Digests of refused tokens that are remembered for each address.
const REMEMBERED: usize = 4;

/// The addresses in debt.
#[derive(Default)]
pub(super) struct WrongTokens(HashMap<IpAddr, Debt>);

struct Debt {
    /// When it is paid.
    until: Instant,
    refused: VecDeque<[u8; 32]>,
}

impl WrongTokens {
    /// Whether a token from `peer` is looked at.
    pub(super) fn may_try(&self, peer: IpAddr, now: Instant) -> bool {
        let debt = self.0.get(&network(peer));
        debt.is_none_or(|debt| debt.until.saturating_duration_since(now) < WRONG_TOKENS_DEBT_MAX)
    }

    /// Notes a wrong token from `peer`.
    pub(super) fn note(&mut self, peer: IpAddr, token: &[u8], now: Instant) {
        let (network, digest) = (network(peer), token_digest(token));
        if !self.0.contains_key(&network) && self.0.len() >= WRONG_TOKENS_ADDRESSES_MAX {
            self.make_room(now);
        }
        let debt = self.0.entry(network).or_insert_with(|| Debt { until: now, refused: VecDeque::new() });
        if debt.refused.contains(&digest) {
            return;
        }
        debt.until = debt.until.max(now) + WRONG_TOKEN_COST;
        debt.refused.push_back(digest);
        if debt.refused.len() > REMEMBERED {
            debt.refused.pop_front();
        }
    }

    /// Forgets the addresses that have paid; if none has, the one that pays first.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, debt| debt.until > now);
        let first = self.0.iter().min_by_key(|(_, debt)| debt.until).map(|(network, _)| *network);
        if let (true, Some(first)) = (self.0.len() >= WRONG_TOKENS_ADDRESSES_MAX, first) {
            self.0.remove(&first);
        }
    }
}

/// What counts as one address: an IPv6 host has a whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_that_guesses_waits_and_others_do_not() {
        let (mut wrong, now) = (WrongTokens::default(), Instant::now());
        let [one, other] = [address("10.0.0.1"), address("10.0.0.2")];
        for guess in 0..60_u8 {
            assert!(wrong.may_try(one, now), "{guess}");
            wrong.note(one, &[guess], now);
        }
        assert!(!wrong.may_try(one, now) && wrong.may_try(other, now));
        assert!(wrong.may_try(one, now + SECOND), "one more each second");
        wrong.note(one, b"another", now + SECOND);
        assert!(!wrong.may_try(one, now + SECOND));
    }

    #[test]
    fn the_same_wrong_token_costs_once() {
        let (mut wrong, now, peer) = (WrongTokens::default(), Instant::now(), address("::ffff:10.0.0.1"));
        for _ in 0..1_000 {
            wrong.note(peer, b"old", now);
            wrong.note(peer, b"older", now);
        }
        assert!(wrong.may_try(address("10.0.0.1"), now));
    }

    #[test]
    fn addresses_are_bounded_and_a_network_is_one() {
        let (mut wrong, now) = (WrongTokens::default(), Instant::now());
        for guess in 0..60_u8 {
            wrong.note(address(&format!("2001:db8::{guess:x}")), &[guess], now);
        }
        assert!(!wrong.may_try(address("2001:db8::ffff"), now));
        for host in 0..2 * u32::try_from(WRONG_TOKENS_ADDRESSES_MAX).expect("few") {
            wrong.note(IpAddr::V4(host.into()), b"x", now);
        }
        assert_eq!(wrong.0.len(), WRONG_TOKENS_ADDRESSES_MAX);
        assert!(!wrong.may_try(address("2001:db8::"), now), "the most in debt are kept");
    }
}
