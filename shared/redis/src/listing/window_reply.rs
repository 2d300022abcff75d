//! The replies to one window. A caller reuses the same few of these for all windows: buffers of this size that are
//! allocated and freed fragment the memory.

use keysweep_model::messages::Lookups;

use super::{KeyState, Ttl};
use crate::limits::{READ_BYTES, REPLY_BYTES_MAX};
use crate::reply_budget::{LISTINGS, ReplyBudget};

/// Bytes of buffer that are kept for the next window: keys and their framing. Most windows need a tenth of it.
pub(super) const KEPT_BYTES: usize = 1 << 20;

/// The span of a key in the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpan {
    begin: u32,
    length: u32,
}

impl KeySpan {
    /// The length of the key in bytes.
    #[inline]
    #[must_use]
    pub fn length(self) -> usize {
        self.length as usize
    }
}

/// The state of a listing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// It was answered completely.
    Whole,
    /// It was not sent, because its reply would not have fitted in addition to the others.
    NotAsked,
    /// Its reply is larger than the server sends or the client reads, and cannot be requested in parts.
    TooLarge,
}

/// The reply to one listing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Its state; without keys if it was not answered.
    pub state: PageState,
    /// The cursor to continue from; 0 at the end, and for slots.
    pub next: u64,
    /// The spans of the keys, see [`WindowReply::key`].
    pub keys: &'a [KeySpan],
}

impl Page<'_> {
    /// The bytes of its keys in the reply, with what is between them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let end = |last: &KeySpan| (last.begin + last.length) as usize;
        self.keys.last().map_or(0, end) - self.keys.first().map_or(0, |first| first.begin as usize)
    }
}

/// The replies to one window, with a reusable buffer.
pub struct WindowReply {
    pub(super) bytes: Vec<u8>,
    pub(super) found: ReplyItems,
    /// The share of the bytes in the process-wide budget.
    pub(super) budget: ReplyBudget,
}

/// What was parsed from the bytes.
#[derive(Default)]
pub(super) struct ReplyItems {
    keys: Vec<KeySpan>,
    pages: Vec<PageMark>,
    pub(super) seen: Vec<KeyState>,
    pub(super) lookups: Lookups,
}

/// A page, and the index of its first key.
struct PageMark {
    state: PageState,
    next: u64,
    begin: usize,
}

/// A position in the replies to return to.
pub(super) struct ReplyMark {
    bytes: usize,
    keys: usize,
    pages: usize,
    seen: usize,
}

impl Default for WindowReply {
    fn default() -> Self {
        Self { bytes: Vec::new(), found: ReplyItems::default(), budget: ReplyBudget::of(&LISTINGS) }
    }
}

impl WindowReply {
    /// The replies that a server would return for these pages: the cursor of each, and its keys.
    pub fn of<K: AsRef<[u8]>>(pages: impl IntoIterator<Item = (u64, Vec<K>)>) -> Self {
        let mut answers = Self::default();
        for (next, keys) in pages {
            answers.found.page(next);
            for key in keys.iter().map(AsRef::as_ref) {
                let begin = answers.bytes.len();
                answers.bytes.extend_from_slice(key);
                answers.found.key(begin, answers.bytes.len());
            }
        }
        answers
    }

    /// The pages, in the order of the request.
    pub fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        let ReplyItems { keys, pages, .. } = &self.found;
        let ends = pages.iter().skip(1).map(|page| page.begin).chain(std::iter::once(keys.len()));
        let page = |(page, end): (&PageMark, usize)| Page {
            state: page.state,
            next: page.next,
            keys: &keys[page.begin..end],
        };
        pages.iter().zip(ends).map(page)
    }

    /// The number of listed keys.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.found.keys.len()
    }

    /// The keys of all pages.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.found.keys.iter().map(|place| self.key(*place))
    }

    /// The key at a span of these replies.
    #[inline]
    #[must_use]
    pub fn key(&self, place: KeySpan) -> &[u8] {
        &self.bytes[place.begin as usize..][..place.length as usize]
    }

    /// The state of each looked-up key, in their order.
    #[must_use]
    pub fn seen(&self) -> &[KeyState] {
        &self.found.seen
    }

    /// Sets a more precise TTL for the lookup number `index`.
    pub fn set_ttl(&mut self, index: usize, ttl: Ttl) {
        self.found.seen[index].ttl = ttl;
    }

    /// The lookups that the replies took, as the server counts them.
    #[must_use]
    pub fn lookups(&self) -> Lookups {
        self.found.lookups
    }

    pub(super) fn mark(&self) -> ReplyMark {
        let ReplyItems { keys, pages, seen, .. } = &self.found;
        ReplyMark { bytes: self.bytes.len(), keys: keys.len(), pages: pages.len(), seen: seen.len() }
    }

    /// Discards what was received after `mark`, except the lookup counts: the server has made those lookups.
    pub(super) fn back_to(&mut self, mark: &ReplyMark) {
        self.bytes.truncate(mark.bytes);
        self.budget.reserve(mark.bytes);
        self.found.keys.truncate(mark.keys);
        self.found.pages.truncate(mark.pages);
        self.found.seen.truncate(mark.seen);
    }

    /// Adds pages that were not answered.
    pub(super) fn unanswered(&mut self, state: PageState, pages: usize) {
        (0..pages).for_each(|_| self.found.page_with(state, 0));
    }

    /// Empties it. It no longer counts against the bytes of replies that this process may hold.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.budget.reserve(0);
        let ReplyItems { keys, pages, seen, lookups } = &mut self.found;
        keys.clear();
        keys.shrink_to(KEPT_BYTES / size_of::<KeySpan>());
        pages.clear();
        seen.clear();
        seen.shrink_to(KEPT_BYTES / size_of::<KeyState>());
        *lookups = Lookups::default();
    }
}

impl ReplyItems {
    /// Begins a page.
    pub(super) fn page(&mut self, next: u64) {
        self.page_with(PageState::Whole, next);
    }

    fn page_with(&mut self, state: PageState, next: u64) {
        self.pages.push(PageMark { state, next, begin: self.keys.len() });
    }

    /// Keys of all pages.
    pub(super) fn listed(&self) -> usize {
        self.keys.len()
    }

    /// Adds a key to the page that began last.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "as said below")]
    pub(super) fn key(&mut self, begin: usize, end: usize) {
        // The buffer doubles as it grows, and nothing is read beyond the reply limit.
        const { assert!(2 * REPLY_BYTES_MAX + READ_BYTES <= u32::MAX as usize) };
        self.keys.push(KeySpan { begin: begin as u32, length: (end - begin) as u32 });
    }

    /// Adds the state of the next looked-up key.
    #[inline]
    pub(super) fn add_state(&mut self, seen: KeyState) {
        self.lookups += seen.ttl.lookup();
        self.seen.push(seen);
    }
}
