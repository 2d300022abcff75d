//! Splits one window into as many writes as its replies need, nearly always one. If the server closes the connection in
//! the middle of a reply, because its limit (`client-output-buffer-limit`) is reached, the rest is requested again in
//! smaller pieces on a new connection; later requests start with the smaller size. The same happens if a reply exceeds
//! our read limit, or the memory that this process may use for replies. Listings that do not fit are left out, and the
//! caller requests them with the next window. Nothing is requested again from another server process: its cursors
//! differ.

use tokio::time::timeout;

use super::limit::Limit;
use super::listing_socket::{CloseCause, ListingSocket};
use super::replies::Replies;
use super::request::write;
use super::window_reply::{PageState, WindowReply};
use super::{Listing, LookupKind};
use crate::error::{RedisError, RedisErrorKind};
use crate::limits::{ASK_TIMEOUT, RESPONSE_TIMEOUT};
use crate::reply_size::{CutCause, ReplyUnit, describe, too_large};

/// What is left of a window.
struct RemainingLookups {
    /// Lookups left.
    lookups: usize,
    /// The maximum number of lookups in one write.
    lookups_max: usize,
    /// The maximum number of items that the listings of one write request.
    items_max: u64,
    /// Whether lookups and listings are sent in separate writes.
    separate: bool,
}

/// How a part of a window is requested again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Same,
    Less(CutCause),
}

impl ListingSocket {
    /// See [`super::ScanConnection::window`].
    ///
    /// # Errors
    /// As there. This connection cannot be used afterwards.
    pub(super) async fn window<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]> + Clone,
        kind: LookupKind,
        answers: &mut WindowReply,
    ) -> Result<(), RedisError> {
        answers.clear();
        let all = look_up.len();
        let mut left =
            RemainingLookups { lookups: all, lookups_max: usize::MAX, items_max: u64::MAX, separate: false };
        loop {
            let lookup_bytes = left.lookups as u64 * kind.answer_bytes();
            let separate = !listings.is_empty() && (left.separate || 2 * lookup_bytes > self.size.bytes());
            let lookups = left.lookups.min(left.lookups_max);
            let lists = lookups == left.lookups && !(separate && lookups > 0);
            let most = self.size.items(item_of(listings), lookup_bytes).min(left.items_max);
            let requested = if lists { fitting(listings, most) } else { Vec::new() };
            if lookups == 0 && requested.is_empty() {
                return Ok(());
            }
            let keys = look_up.clone().skip(all - left.lookups).take(lookups);
            match self.exchange(&requested, keys, kind, answers).await {
                Ok(()) => (left.lookups, left.lookups_max) = (left.lookups - lookups, usize::MAX),
                Err(fault) => {
                    let again = self.recover(fault, &requested).await?;
                    if let Retry::Less(cause) = again
                        && !self.request_less(&mut left, lookups, (&requested, listings, cause), answers)?
                    {
                        return Ok(());
                    }
                    left.separate = true;
                    continue;
                }
            }
            if lists {
                self.note(&requested, answers);
                answers.unanswered(PageState::NotAsked, listings.len() - requested.len());
                return Ok(());
            }
        }
    }

    /// Lowers the size of the next write. `false`: the only listing was of a slot, which cannot be requested in parts.
    fn request_less(
        &self,
        left: &mut RemainingLookups,
        lookups: usize,
        (requested, listings, cause): (&[Listing], &[Listing], CutCause),
        answers: &mut WindowReply,
    ) -> Result<bool, RedisError> {
        match (requested, items_in(requested)) {
            // Only lookups, whose replies are short.
            ([], _) if lookups > 1 => left.lookups_max = lookups / 2,
            (_, 2..) => left.items_max = items_in(requested) / 2,
            // The listing was not alone in the write.
            ([_], _) if lookups > 0 => {}
            ([Listing::KeysInSlot { .. }], _) => {
                answers.unanswered(PageState::TooLarge, 1);
                answers.unanswered(PageState::NotAsked, listings.len() - 1);
                return Ok(false);
            }
            _ => return Err(self.smallest(requested, cause)),
        }
        Ok(true)
    }

    async fn exchange<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]>,
        kind: LookupKind,
        answers: &mut WindowReply,
    ) -> Result<(), RedisError> {
        self.request.clear();
        let (lookups, mark) = (look_up.len(), answers.mark());
        let limit = Limit::of(lookups, listings);
        write(&mut self.request, listings, look_up, kind);
        let in_time = timeout(RESPONSE_TIMEOUT, async {
            self.send().await?;
            let WindowReply { bytes, found, budget } = &mut *answers;
            let address = self.dial.address.clone();
            let mut replies = Replies::new(&address, kind, lookups, listings, found).begin_at(bytes.len());
            while !replies.read(bytes)? {
                self.receive(bytes).await?;
                if let Some(broken) =
                    limit.exceeded(bytes.len(), replies.listed(), budget.reserve(bytes.len()))
                {
                    return Err(self.cut_off(broken, listings));
                }
            }
            Ok(())
        });
        let done = in_time.await.unwrap_or_else(|_| Err(self.lost(&"no reply in time")));
        if done.is_err() {
            answers.back_to(&mark);
        }
        done
    }

    /// The error for a reply that is not read to its end. Lookup replies alone never exceed the limit.
    fn cut_off(&mut self, broken: CloseCause, listings: &[Listing]) -> RedisError {
        if listings.is_empty() {
            let detail = "the reply is larger than requested, by `PTTL` or `OBJECT IDLETIME`";
            return RedisError::new(RedisErrorKind::Protocol, self.dial.address.as_str(), detail);
        }
        self.broken = Some(broken);
        self.lost(&describe(broken.cause()))
    }

    /// Records the size of the replies to `requested`.
    fn note(&self, requested: &[Listing], answers: &WindowReply) {
        if requested.is_empty() {
            return;
        }
        let bytes = answers.pages().map(|page| page.bytes() as u64).sum();
        self.size.answered(item_of(requested), items_in(requested), bytes);
    }

    /// Connects again after `lost`, if the reply to `requested` was cut off for its size, or may have been.
    async fn recover(&mut self, lost: RedisError, requested: &[Listing]) -> Result<Retry, RedisError> {
        let Some(broken) = self.broken.take() else { return Err(lost) };
        let opened = self.opened;
        let Some(before) = self.account.clone().filter(|_| !self.once) else {
            // A caller that starts over requests less. If the server closed the connection, only from the second time
            // on.
            let cause = broken.cause();
            if self.size.is_for_size(cause, items_in(requested), opened) {
                self.cut(requested, cause);
            }
            return Err(match broken {
                CloseCause::Closed => lost,
                _ if items_in(requested) > 1 => RedisError { kind: RedisErrorKind::ReplyCutOff, ..lost },
                _ => self.smallest(requested, cause),
            });
        };
        let connected = timeout(ASK_TIMEOUT, Box::pin(self.connect_again())).await;
        let (Ok(Ok(())), Some(now)) = (connected, &self.account) else { return Err(lost) };
        let cause = match broken {
            CloseCause::Closed => before.cause(now),
            _ if before.process == now.process => broken.cause(),
            _ => CutCause::Other,
        };
        let for_size = self.size.is_for_size(cause, items_in(requested), opened);
        match cause {
            CutCause::Other => Err(lost),
            CutCause::Unknown if !for_size => Ok(Retry::Same),
            _ => {
                self.cut(requested, cause);
                Ok(Retry::Less(cause))
            }
        }
    }

    fn cut(&self, requested: &[Listing], cause: CutCause) {
        if !requested.is_empty() {
            self.size.cut(&self.dial.address, (item_of(requested), items_in(requested)), cause);
        }
    }

    /// The error if the reply to `requested`, the smallest possible request, was cut off.
    fn smallest(&self, requested: &[Listing], cause: CutCause) -> RedisError {
        let what = match requested {
            [] => "a lookup of one key",
            [Listing::KeysInSlot { .. }, ..] => "the keys of one slot",
            [Listing::Scan { .. }, ..] => "the smallest page of SCAN (`COUNT 1`)",
        };
        // Retrying helps, because other readers release what they hold.
        let kind = if cause == CutCause::Crowded {
            RedisErrorKind::ReplyCutOff
        } else {
            RedisErrorKind::ReplyTooLarge
        };
        RedisError::new(kind, self.dial.address.as_str(), too_large(what, cause))
    }
}

/// The unit by which the replies to `listings` grow.
fn item_of(listings: &[Listing]) -> ReplyUnit {
    if matches!(listings, [Listing::KeysInSlot { .. }, ..]) { ReplyUnit::Slot } else { ReplyUnit::Key }
}

/// How many of these units `listings` request.
fn items_in(listings: &[Listing]) -> u64 {
    let items = |listing: &Listing| match listing {
        Listing::Scan { count, .. } => u64::from(*count).max(1),
        Listing::KeysInSlot { .. } => 1,
    };
    listings.iter().map(items).sum()
}

/// The prefix of `listings` that requests at most this many items, but at least the first listing; SCAN pages are made
/// smaller so that as many listings as possible fit.
fn fitting(listings: &[Listing], most: u64) -> Vec<Listing> {
    if items_in(listings) <= most {
        return listings.to_vec();
    }
    let taken = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, listings.len());
    let each = u32::try_from(most / taken as u64).unwrap_or(u32::MAX).max(1);
    let smaller = |listing: &Listing| match *listing {
        Listing::Scan { cursor, count } => Listing::Scan { cursor, count: count.min(each) },
        slot @ Listing::KeysInSlot { .. } => slot,
    };
    listings[..taken].iter().map(smaller).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_shrink_before_some_are_left_out() {
        let scan = |count| Listing::Scan { cursor: 7, count };
        let slot = |slot| Listing::KeysInSlot { slot, count: 10 };
        let check = |listings: &[Listing], most, expected: &[Listing]| {
            assert_eq!(fitting(listings, most), expected, "{listings:?} {most}");
        };
        check(&[scan(1_000), scan(500)], 1_500, &[scan(1_000), scan(500)]);
        check(&[scan(1_000), scan(500)], 1_200, &[scan(600), scan(500)]);
        check(&[scan(1_000), scan(1_000), scan(1_000)], 2, &[scan(1), scan(1)]);
        check(&[scan(1_000), scan(1_000)], 0, &[scan(1)]);
        check(&[slot(1), slot(2), slot(3)], 2, &[slot(1), slot(2)]);
        check(&[slot(1), slot(2)], 0, &[slot(1)]);
        check(&[], 5, &[]);
    }
}
