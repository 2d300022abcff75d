//! One window in as many pieces as its answers need. Nearly always that is one write. A server that closes the connection
//! in the middle of an answer, because its limit (`client-output-buffer-limit`) is reached, is asked again for less, on a
//! new connection; from then on less is asked for at once. The same is done where an answer has more than we read, or than
//! the process can hold beside other answers. Listings that do not fit beside others are left out: whoever
//! walks asks for them with the next window. Nothing is asked of another process than before: its cursors are others.

use tokio::time::timeout;

use super::limit::Limit;
use super::listing_socket::{CloseCause, ListingSocket};
use super::replies::Replies;
use super::request::write;
use super::window_reply::{PageState, WindowReply};
use super::{Listing, LookupKind};
use crate::cluster::error::{RedisError, RedisErrorKind};
use crate::cluster::reply_size::{CutCause, ReplyUnit, describe, too_large};
use crate::limits::{ASK_TIMEOUT, RESPONSE_TIMEOUT};

/// Bytes around a key in an answer, about.
const KEY_FRAME_BYTES: u64 = 8;

/// What is left of a window.
struct RemainingLookups {
    /// Look-ups.
    looks: usize,
    /// How many of them one write may have.
    looks_most: usize,
    /// How many items the listings of one write may ask for.
    items_most: u64,
    /// Whether look-ups and listings are sent in writes of their own.
    apart: bool,
}

/// How a part of a window is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    Same,
    Less(CutCause),
}

impl ListingSocket {
    /// See [`super::ScanConnection::window`].
    ///
    /// # Errors
    /// As there. Nothing more can be asked of this one then.
    pub(super) async fn window<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]> + Clone,
        ask: LookupKind,
        answers: &mut WindowReply,
    ) -> Result<(), RedisError> {
        answers.clear();
        let all = look_up.len();
        let mut left =
            RemainingLookups { looks: all, looks_most: usize::MAX, items_most: u64::MAX, apart: false };
        loop {
            let beside = left.looks as u64 * ask.answer_bytes();
            let apart = !listings.is_empty() && (left.apart || 2 * beside > self.size.bytes());
            let looks = left.looks.min(left.looks_most);
            let lists = looks == left.looks && !(apart && looks > 0);
            let most = self.size.items(item_of(listings), beside).min(left.items_most);
            let asked = if lists { fitting(listings, most) } else { Vec::new() };
            if looks == 0 && asked.is_empty() {
                return Ok(());
            }
            let keys = look_up.clone().skip(all - left.looks).take(looks);
            match self.exchange(&asked, keys, ask, answers).await {
                Ok(()) => (left.looks, left.looks_most) = (left.looks - looks, usize::MAX),
                Err(fault) => {
                    let again = self.recover(fault, &asked).await?;
                    if let Retry::Less(cause) = again
                        && !self.asks_less(&mut left, looks, (&asked, listings, cause), answers)?
                    {
                        return Ok(());
                    }
                    left.apart = true;
                    continue;
                }
            }
            if lists {
                self.note(&asked, answers);
                answers.unanswered(PageState::NotAsked, listings.len() - asked.len());
                return Ok(());
            }
        }
    }

    /// Lowers what the next write has. `false`: the only listing was a slot's, which cannot be asked for in parts.
    fn asks_less(
        &self,
        left: &mut RemainingLookups,
        looks: usize,
        (asked, listings, cause): (&[Listing], &[Listing], CutCause),
        answers: &mut WindowReply,
    ) -> Result<bool, RedisError> {
        match (asked, items_in(asked)) {
            // Look-ups alone, whose answers are short.
            ([], _) if looks > 1 => left.looks_most = looks / 2,
            (_, 2..) => left.items_most = items_in(asked) / 2,
            // It was not alone.
            ([_], _) if looks > 0 => {}
            ([Listing::KeysInSlot { .. }], _) => {
                answers.unanswered(PageState::TooLarge, 1);
                answers.unanswered(PageState::NotAsked, listings.len() - 1);
                return Ok(false);
            }
            _ => return Err(self.smallest(asked, cause)),
        }
        Ok(true)
    }

    async fn exchange<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]>,
        ask: LookupKind,
        answers: &mut WindowReply,
    ) -> Result<(), RedisError> {
        self.request.clear();
        let (looks, mark) = (look_up.len(), answers.mark());
        let limit = Limit::of(looks, listings);
        write(&mut self.request, listings, look_up, ask);
        let in_time = timeout(RESPONSE_TIMEOUT, async {
            self.send().await?;
            let WindowReply { bytes, found, held } = &mut *answers;
            let address = self.dial.address.clone();
            let mut replies = Replies::new(&address, ask, looks, listings, found).begin_at(bytes.len());
            while !replies.read(bytes)? {
                self.receive(bytes).await?;
                if let Some(broken) = limit.exceeded(bytes.len(), replies.listed(), held.reserve(bytes.len()))
                {
                    return Err(self.cut_off(broken, listings));
                }
            }
            Ok(())
        });
        let done = in_time.await.unwrap_or_else(|_| Err(self.lost(&"no answer in time")));
        if done.is_err() {
            answers.back_to(&mark);
        }
        done
    }

    /// That an answer is not read to its end. No look-up is answered by more than is read.
    fn cut_off(&mut self, broken: CloseCause, listings: &[Listing]) -> RedisError {
        if listings.is_empty() {
            let said = "more was answered than was asked for, by `PTTL` or `OBJECT IDLETIME`";
            return RedisError::new(RedisErrorKind::Protocol, self.dial.address.as_str(), said);
        }
        self.broken = Some(broken);
        self.lost(&describe(broken.cause()))
    }

    /// Takes in how large the answer to `asked` was.
    fn note(&self, asked: &[Listing], answers: &WindowReply) {
        if asked.is_empty() {
            return;
        }
        let bytes = |page: super::Page<'_>| page.bytes() as u64 + KEY_FRAME_BYTES * page.keys.len() as u64;
        self.size.answered(item_of(asked), items_in(asked), answers.pages().map(bytes).sum());
    }

    /// Connects again after `lost`, if the answer to `asked` was cut off for its size, or may have been.
    async fn recover(&mut self, lost: RedisError, asked: &[Listing]) -> Result<Retry, RedisError> {
        let Some(broken) = self.broken.take() else { return Err(lost) };
        let Some(before) = self.account.clone().filter(|_| !self.once) else {
            // Whoever asks from the beginning asks for less; if the server closed the connection, once it happens again.
            let cause = broken.cause();
            if self.size.is_for_size(cause, items_in(asked)) {
                self.cut(asked, cause);
            }
            return Err(match broken {
                CloseCause::Closed => lost,
                _ if items_in(asked) > 1 => RedisError { kind: RedisErrorKind::ReplyCutOff, ..lost },
                _ => self.smallest(asked, cause),
            });
        };
        let connected = timeout(ASK_TIMEOUT, Box::pin(self.connect_again())).await;
        let (Ok(Ok(())), Some(now)) = (connected, &self.account) else { return Err(lost) };
        let cause = match broken {
            CloseCause::Closed => before.cause(now),
            _ if before.process == now.process => broken.cause(),
            _ => CutCause::Other,
        };
        let for_size = self.size.is_for_size(cause, items_in(asked));
        match cause {
            CutCause::Other => Err(lost),
            CutCause::Unknown if !for_size => Ok(Retry::Same),
            _ => {
                self.cut(asked, cause);
                Ok(Retry::Less(cause))
            }
        }
    }

    fn cut(&self, asked: &[Listing], cause: CutCause) {
        if !asked.is_empty() {
            self.size.cut(&self.dial.address, (item_of(asked), items_in(asked)), cause);
        }
    }

    /// What it means that the answer to `asked` was cut off, which cannot be less.
    fn smallest(&self, asked: &[Listing], cause: CutCause) -> RedisError {
        let what = match asked {
            [] => "a look at one key",
            [Listing::KeysInSlot { .. }, ..] => "the keys of one slot",
            [Listing::Scan { .. }, ..] => "the smallest page of SCAN (`COUNT 1`)",
        };
        // Others give back what they hold.
        let kind = if cause == CutCause::Crowded {
            RedisErrorKind::ReplyCutOff
        } else {
            RedisErrorKind::ReplyTooLarge
        };
        RedisError::new(kind, self.dial.address.as_str(), too_large(what, cause))
    }
}

/// What the answers to `listings` grow with.
fn item_of(listings: &[Listing]) -> ReplyUnit {
    if matches!(listings, [Listing::KeysInSlot { .. }, ..]) { ReplyUnit::Slot } else { ReplyUnit::Key }
}

/// How many of these `listings` ask for.
fn items_in(listings: &[Listing]) -> u64 {
    let items = |listing: &Listing| match listing {
        Listing::Scan { count, .. } => u64::from(*count).max(1),
        Listing::KeysInSlot { .. } => 1,
    };
    listings.iter().map(items).sum()
}

/// Those of `listings` that ask for at most so many items, the first one at least; pages of SCAN are made smaller, so that
/// as many as possible are asked for.
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
    fn listings_are_made_smaller_before_some_are_left_out() {
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
