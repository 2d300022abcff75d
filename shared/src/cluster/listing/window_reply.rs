//! What one window was answered. Whoever reads many windows reads them into the same few of these: rooms of this size
//! that come and go leave holes in memory that nothing else fits into.

use super::{KeyState, Ttl};
use crate::cluster::reply_budget::{LISTINGS, ReplyBudget};
use crate::limits::{READ_BYTES, REPLY_BYTES_MAX};
use crate::messages::Lookups;

/// Bytes of room that are kept for the next window: names, and what stands around them. Most windows need a tenth of it.
pub(super) const KEPT_BYTES: usize = 1 << 20;

/// Where a key stands in the bytes that the server sent.
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

/// What became of a listing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// It was answered.
    Whole,
    /// It was not sent, because its answer would not have fitted beside the others.
    NotAsked,
    /// Its answer is larger than the server sends, or than is read, and cannot be asked for in parts.
    TooLarge,
}

/// What a listing command answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// What became of it; without keys if it was not answered.
    pub state: PageState,
    /// The cursor to go on from; 0 at the end, and for slots.
    pub next: u64,
    /// Where the keys stand, see [`WindowReply::key`].
    pub keys: &'a [KeySpan],
}

impl Page<'_> {
    /// Bytes of all its keys.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.iter().map(|place| place.length()).sum()
    }
}

/// See the module.
pub struct WindowReply {
    pub(super) bytes: Vec<u8>,
    pub(super) found: ReplyItems,
    /// That of the bytes.
    pub(super) held: ReplyBudget,
}

/// What was found in the bytes.
#[derive(Default)]
pub(super) struct ReplyItems {
    keys: Vec<KeySpan>,
    pages: Vec<PageMark>,
    pub(super) seen: Vec<KeyState>,
    pub(super) lookups: Lookups,
}

/// A page, and where its keys begin among all.
struct PageMark {
    state: PageState,
    next: u64,
    begin: usize,
}

/// How far answers had come.
pub(super) struct ReplyMark {
    bytes: usize,
    keys: usize,
    pages: usize,
    seen: usize,
}

impl Default for WindowReply {
    fn default() -> Self {
        Self { bytes: Vec::new(), found: ReplyItems::default(), held: ReplyBudget::of(&LISTINGS) }
    }
}

impl WindowReply {
    /// What a server would answer to listings with these pages: the cursor of each, and its keys.
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

    /// The pages, in the order in which they were asked for.
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

    /// How many keys were listed.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.found.keys.len()
    }

    /// The keys of all pages.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.found.keys.iter().map(|place| self.key(*place))
    }

    /// The key at a place of these answers.
    #[inline]
    #[must_use]
    pub fn key(&self, place: KeySpan) -> &[u8] {
        &self.bytes[place.begin as usize..][..place.length as usize]
    }

    /// What was seen of each key that was looked up, in their order.
    #[must_use]
    pub fn seen(&self) -> &[KeyState] {
        &self.found.seen
    }

    /// Says more of the TTL of the key that was looked up as number `index`.
    pub fn set_ttl(&mut self, index: usize, ttl: Ttl) {
        self.found.seen[index].ttl = ttl;
    }

    /// The look-ups that they took, as the server counts them.
    #[must_use]
    pub fn lookups(&self) -> Lookups {
        self.found.lookups
    }

    pub(super) fn mark(&self) -> ReplyMark {
        let ReplyItems { keys, pages, seen, .. } = &self.found;
        ReplyMark { bytes: self.bytes.len(), keys: keys.len(), pages: pages.len(), seen: seen.len() }
    }

    /// Forgets what came after `mark`, but for the look-ups: the server has made them.
    pub(super) fn back_to(&mut self, mark: &ReplyMark) {
        self.bytes.truncate(mark.bytes);
        self.held.reserve(mark.bytes);
        self.found.keys.truncate(mark.keys);
        self.found.pages.truncate(mark.pages);
        self.found.seen.truncate(mark.seen);
    }

    /// Adds pages that were not answered.
    pub(super) fn unanswered(&mut self, state: PageState, pages: usize) {
        (0..pages).for_each(|_| self.found.page_with(state, 0));
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.held.reserve(0);
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
    /// A page begins.
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

    /// A key of the page that began last, between these places.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "as said below")]
    pub(super) fn key(&mut self, begin: usize, end: usize) {
        // Room doubles as it grows, and nothing is read once there is more than a reply may have.
        const { assert!(2 * REPLY_BYTES_MAX + READ_BYTES <= u32::MAX as usize) };
        self.keys.push(KeySpan { begin: begin as u32, length: (end - begin) as u32 });
    }

    /// What was seen of the next key that was looked up.
    #[inline]
    pub(super) fn add_state(&mut self, seen: KeyState) {
        self.lookups += seen.ttl.lookup();
        self.seen.push(seen);
    }
}
