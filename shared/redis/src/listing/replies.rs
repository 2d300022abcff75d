//! Parses the replies to one window from bytes that arrive in pieces, without an allocation per key.

use keysweep_model::messages::Lookups;

use super::resp::{Malformed, RespItem, TextHead, item, plain_number};
use super::window_reply::ReplyItems;
use super::{KeyState, Listing, LookupKind, Ttl};
use crate::error::{RedisError, RedisErrorKind};

/// The expected next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// `TIME`: an array of two bulk strings.
    Clock,
    Seconds,
    Micros,
    /// PTTL or PEXPIRETIME of the next key.
    Expiry,
    /// OBJECT IDLETIME of the same key.
    Idle,
    /// The beginning of the next page.
    Page,
    /// The cursor of a SCAN.
    Cursor,
    /// The keys of a SCAN.
    Keys,
    /// This many more keys of the page.
    Key(usize),
    Nothing,
}

/// An incremental parser of the replies to one window.
pub(super) struct Replies<'a> {
    address: &'a str,
    kind: LookupKind,
    lookups: usize,
    /// Listings whose pages are still to come.
    listings: &'a [Listing],
    next: Next,
    /// Bytes read so far.
    at: usize,
    now_ms: u64,
    cursor: u64,
    found: &'a mut ReplyItems,
}

impl<'a> Replies<'a> {
    /// A parser of the replies to `lookups` lookups and then `listings`, sent to the server at `address`; the results
    /// are appended to `found`.
    pub(super) fn new(
        address: &'a str,
        kind: LookupKind,
        lookups: usize,
        listings: &'a [Listing],
        found: &'a mut ReplyItems,
    ) -> Self {
        let (next, clock) = (Next::Nothing, kind.needs_clock() && lookups > 0);
        let lookups = found.seen.len() + lookups;
        let mut replies = Self { address, kind, lookups, listings, next, at: 0, now_ms: 0, cursor: 0, found };
        replies.next = if clock { Next::Clock } else { replies.next_lookup() };
        replies
    }

    /// The replies begin at byte `at`.
    pub(super) fn begin_at(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// Keys that were listed so far.
    pub(super) fn listed(&self) -> usize {
        self.found.listed()
    }

    /// Continues in `bytes`, which begin with those of earlier calls. `true` if all replies have arrived.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<bool, RedisError> {
        while self.next != Next::Nothing {
            match self.next {
                Next::Expiry if self.kind == LookupKind::Ttl => self.plain_ttls(bytes),
                Next::Key(left) => self.plain_keys(left, bytes),
                _ => {}
            }
            if self.next == Next::Nothing {
                break;
            }
            match item(bytes, &mut self.at) {
                Ok(Some(item)) => self.take(item, bytes)?,
                Ok(None) => return Ok(false),
                Err(Malformed) => return Err(self.unexpected("a window")),
            }
        }
        // A late surplus reply would be taken for the first reply to the next window; it nearly always has another
        // shape.
        if self.at < bytes.len() { Err(self.unexpected("a window")) } else { Ok(true) }
    }

    fn next_lookup(&self) -> Next {
        if self.found.seen.len() < self.lookups {
            Next::Expiry
        } else if self.listings.is_empty() {
            Next::Nothing
        } else {
            Next::Page
        }
    }

    /// Reads TTLs as long as only plain numbers arrive, which is nearly always: a loop for that case alone costs half
    /// as much as [`Replies::take`], which continues where this stops.
    fn plain_ttls(&mut self, bytes: &[u8]) {
        let before = self.found.seen.len();
        let (mut at, mut gone) = (self.at, 0);
        for _ in before..self.lookups {
            let Some((number, end)) = plain_number(bytes, at) else { break };
            let Some(ttl) = ttl(number) else { break };
            gone += u64::from(ttl == Ttl::Gone);
            self.found.seen.push(KeyState::only(ttl));
            at = end;
        }
        self.at = at;
        let seen = self.found.seen.len();
        self.found.lookups += Lookups::of((seen - before) as u64 - gone, gone);
        if seen == self.lookups {
            self.next = self.next_lookup();
        }
    }

    /// The same for keys, `left` of which are still to come.
    fn plain_keys(&mut self, mut left: usize, bytes: &[u8]) {
        let mut head = TextHead::default();
        while left > 0 {
            let Some((place, end)) = head.plain_text(bytes, self.at) else { break };
            self.found.key(place.start, place.end);
            self.at = end;
            left -= 1;
        }
        self.next = self.after_keys(left);
    }

    fn take(&mut self, item: RespItem, bytes: &[u8]) -> Result<(), RedisError> {
        self.next = match (self.next, item) {
            (Next::Expiry, item) => self.expiry(&item, bytes)?,
            (Next::Idle, item) => self.idle(&item, bytes)?,
            (Next::Page, RespItem::Array(count)) => match self.listings.split_off_first() {
                Some(Listing::Scan { .. }) if count == 2 => Next::Cursor,
                Some(Listing::KeysInSlot { .. }) => self.page(0, count),
                _ => return Err(self.unexpected("SCAN")),
            },
            (Next::Cursor, RespItem::Text(place)) => {
                self.cursor = self.digits(&bytes[place], "SCAN")?;
                Next::Keys
            }
            (Next::Keys, RespItem::Array(count)) => self.page(self.cursor, count),
            (Next::Key(left), RespItem::Text(place)) => {
                self.found.key(place.start, place.end);
                self.after_keys(left - 1)
            }
            (Next::Clock, RespItem::Array(2)) => Next::Seconds,
            (Next::Seconds, RespItem::Text(place)) => {
                self.now_ms = self.digits(&bytes[place], "TIME")?.saturating_mul(1_000);
                Next::Micros
            }
            (Next::Micros, RespItem::Text(place)) => {
                let micros = self.digits(&bytes[place], "TIME")?;
                self.now_ms = self.now_ms.saturating_add(micros / 1_000);
                self.next_lookup()
            }
            (_, RespItem::Error(place)) => return Err(self.error(&bytes[place])),
            _ => return Err(self.unexpected("a window")),
        };
        Ok(())
    }

    fn page(&mut self, cursor: u64, count: usize) -> Next {
        self.found.page(cursor);
        self.after_keys(count)
    }

    /// What follows if `left` keys of the page are still to come.
    fn after_keys(&self, left: usize) -> Next {
        if left > 0 { Next::Key(left) } else { self.next_lookup() }
    }

    fn expiry(&mut self, item: &RespItem, bytes: &[u8]) -> Result<Next, RedisError> {
        let ttl = match item {
            RespItem::Number(number) => ttl(*number).ok_or_else(|| self.unexpected("PTTL"))?,
            RespItem::Error(place) => match self.error(&bytes[place.clone()]) {
                fault if fault.kind == RedisErrorKind::Moved => Ttl::Moved,
                fault => return Err(fault),
            },
            _ => return Err(self.unexpected("PTTL")),
        };
        let mut seen = KeyState::only(ttl);
        // The server returns absolute times then; the remaining time is relative to its own clock.
        if let (Ttl::Remaining(at_ms), true) = (ttl, self.kind.needs_clock()) {
            seen.expires_at_ms = Some(at_ms);
            seen.ttl = Ttl::Remaining(at_ms.saturating_sub(self.now_ms));
        }
        self.found.add_state(seen);
        Ok(if self.kind == LookupKind::ExpiryAndIdle { Next::Idle } else { self.next_lookup() })
    }

    fn idle(&mut self, item: &RespItem, bytes: &[u8]) -> Result<Next, RedisError> {
        let fault = match item {
            RespItem::Error(place) => Some(self.error(&bytes[place.clone()])),
            RespItem::Number(_) | RespItem::Nil => None,
            _ => return Err(self.unexpected("OBJECT IDLETIME")),
        };
        let counted = Lookups::of(u64::from(*item != RespItem::Nil), u64::from(*item == RespItem::Nil));
        if let Some(seen) = self.found.seen.last_mut() {
            match (item, fault) {
                // The slot has just moved.
                (_, Some(fault)) if fault.kind == RedisErrorKind::Moved => seen.ttl = Ttl::Moved,
                // The server counts uses instead of idle time (LFU).
                (_, Some(fault)) if fault.kind == RedisErrorKind::CommandError => {
                    self.found.lookups += counted;
                }
                (_, Some(fault)) => return Err(fault),
                (RespItem::Number(seconds), None) => {
                    seen.idle_ms = u64::try_from(*seconds).ok().map(|seconds| seconds.saturating_mul(1_000));
                    self.found.lookups += counted;
                }
                _ => self.found.lookups += counted,
            }
        }
        Ok(self.next_lookup())
    }

    fn digits(&self, text: &[u8], command: &str) -> Result<u64, RedisError> {
        let number = str::from_utf8(text).ok().and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| self.unexpected(command))
    }

    fn error(&self, words: &[u8]) -> RedisError {
        RedisError::from_text(self.address, words)
    }

    fn unexpected(&self, command: &str) -> RedisError {
        RedisError::unexpected(self.address, command)
    }
}

/// The TTL for the `number` that PTTL or PEXPIRETIME returned.
#[inline]
fn ttl(number: i64) -> Option<Ttl> {
    match number {
        -1 => Some(Ttl::Persistent),
        -2 => Some(Ttl::Gone),
        ms => u64::try_from(ms).ok().map(Ttl::Remaining),
    }
}
