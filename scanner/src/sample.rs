//! A sample of the matching keys of a node: enough to estimate how many a run would delete, or how long they live.
//! Reads only.

use std::collections::HashSet;

use shared::cluster::{
    Conn, KeyState, Listing, LookupKind, RedisError, RedisErrorKind, ScanConnection, Ttl, WindowReply, fields,
};
use shared::key::{self, Key};
use shared::limits::FIELDS_KEYS_AT_ONCE;
use shared::messages::Lookups;
use shared::pacing::Throttle;
use shared::range::SlotListing;
use shared::scan_end::ScanEnd;
use shared::slot::SLOTS;
use tokio::time::Instant;

use crate::classify::Classifier;
use crate::fields::ttl;
use crate::name_sample::NameSample;

/// `COUNT` of a sampling SCAN, at most.
const PAGE_KEYS: usize = 500;

/// Keys listed from random places before the node is read from the start instead.
const RANDOM_KEYS: u64 = 32_000;

/// Pages asked for in one write, at most.
const PAGES_AT_ONCE: usize = 4;

/// Where the keys of a node are.
pub struct SampledTables<'a> {
    /// Keys in its database.
    pub keys: u64,
    /// How it lists slots best; `None` on a standalone server.
    pub listing: Option<SlotListing>,
    /// Its slots, each with its share of the keys, in any unit.
    pub slots: &'a [(u16, u64)],
}

/// What a sample holds.
#[derive(Default)]
pub struct KeySample {
    /// Keys listed, of whatever pattern.
    pub listed: u64,
    /// Those that match, and how they looked; each once, if these are all.
    pub looks: Vec<(Key, KeyState)>,
    /// Whether these are all keys of the node.
    pub all: bool,
    /// What the keys are called.
    pub names: NameSample,
    /// Look-ups made, also for what is not in the sample.
    pub lookups: Lookups,
}

/// How many matching keys a sample is to have.
#[derive(Clone, Copy, Debug)]
pub struct SampleRequest {
    /// About so many (all, if there are fewer).
    pub keys: u64,
    /// Bytes of their names, at most.
    pub bytes: usize,
    /// Whether a large node is read from the start where random pages bring too few.
    pub search: bool,
    /// Between requests.
    pub breaks: Throttle,
}

/// A sample of matching keys.
///
/// Keys are hashed, so any stretch of a table is a fair sample of it; pages start at random places all the
/// same, because newer servers keep the keys of one slot together. Where random pages do not bring enough
/// matching keys, because they are rare, the node is read from the start until there are enough.
pub async fn sample(
    lister: &mut ScanConnection,
    tables: &SampledTables<'_>,
    wanted: SampleRequest,
    selector: &Classifier<'_>,
) -> Result<KeySample, RedisError> {
    let (sampled, seen) = (KeySample::default(), HashSet::new());
    let count = wanted.breaks.at_once(PAGE_KEYS);
    let (listed, looked_up) = (WindowReply::default(), WindowReply::default());
    let mut sampling = Sampling {
        lister,
        selector,
        wanted,
        count: count as u32,
        listed,
        looked_up,
        sampled,
        seen,
        whole: false,
        bytes: 0,
    };
    if tables.keys > 2 * wanted.keys {
        let needed = wanted.keys.div_ceil(count as u64);
        let at_once = needed.clamp(1, wanted.breaks.at_once(PAGES_AT_ONCE) as u64);
        for _ in 0..RANDOM_KEYS / (count as u64 * at_once) {
            sampling.pages((0..at_once).map(|_| random_cursor(tables))).await?;
            if sampling.enough() {
                return Ok(sampling.sampled);
            }
        }
        if !wanted.search {
            return Ok(sampling.sampled);
        }
        sampling.bytes = 0;
        sampling.sampled = KeySample { lookups: sampling.sampled.lookups, ..KeySample::default() };
    }
    sampling.whole = true;
    let (mut cursor, mut end) = (0, ScanEnd::new(0, 0, tables.keys));
    loop {
        cursor = sampling.pages(std::iter::once(cursor)).await?;
        sampling.sampled.all = cursor == 0;
        if cursor == 0 || sampling.enough() {
            return Ok(sampling.sampled);
        }
        let on = end.check_progress(&cursor, count as u64, sampling.listed.keys().count() as u64);
        on.map_err(|why| RedisError::new(RedisErrorKind::Protocol, sampling.lister.address(), why))?;
    }
}

/// A cursor somewhere in the node's tables. The server ignores the bits that its table does not have.
fn random_cursor(tables: &SampledTables<'_>) -> u64 {
    let cursor = fastrand::u64(..);
    let shares: u64 = tables.slots.iter().map(|(_, share)| share).sum();
    if tables.listing != Some(SlotListing::OrderedScan) || shares == 0 {
        return cursor;
    }
    // One table per slot: a slot by its share of the keys, and a place in it.
    let mut place = fastrand::u64(..shares);
    let slot = tables.slots.iter().find(|(_, share)| {
        let here = place < *share;
        place = place.saturating_sub(*share);
        here
    });
    cursor & !(u64::from(SLOTS) - 1) | slot.map_or(0, |(slot, _)| u64::from(*slot))
}

/// Asks about those of `sampled` that have no TTL whether they are hashes whose fields expire: for a server that has such
/// hashes. The look-ups that it took.
///
/// # Errors
/// When the server fails, or does not allow it.
pub async fn classify_fields(
    conn: &Conn,
    sampled: &mut KeySample,
    selector: &Classifier<'_>,
    breaks: Throttle,
) -> Result<Lookups, RedisError> {
    let mut lookups = Lookups::default();
    let mut lasting: Vec<&mut (Key, KeyState)> = sampled
        .looks
        .iter_mut()
        .filter(|(key, seen)| seen.ttl == Ttl::Persistent && !selector.protects(key.as_bytes()))
        .collect();
    for some in lasting.chunks_mut(breaks.at_once(FIELDS_KEYS_AT_ONCE)) {
        let (keys, sent): (Vec<&[u8]>, _) =
            (some.iter().map(|look| look.0.as_bytes()).collect(), Instant::now());
        let (found, made) = fields::ask(conn, &keys).await?;
        lookups += made;
        for (look, fields) in some.iter_mut().zip(found) {
            look.1.ttl = ttl(fields);
        }
        breaks.rest(sent).await;
    }
    Ok(lookups)
}

struct Sampling<'a> {
    lister: &'a mut ScanConnection,
    selector: &'a Classifier<'a>,
    wanted: SampleRequest,
    count: u32,
    listed: WindowReply,
    looked_up: WindowReply,
    sampled: KeySample,
    /// Keys of a whole reading, which may list a key twice. Random pages may as well: they are put back, so to say.
    seen: HashSet<Key>,
    whole: bool,
    /// Bytes of the names that are held.
    bytes: usize,
}

impl Sampling<'_> {
    fn enough(&self) -> bool {
        self.sampled.looks.len() as u64 >= self.wanted.keys || self.bytes >= self.wanted.bytes
    }

    /// Looks at the pages at `cursors`; the cursor after the last of them.
    async fn pages(&mut self, cursors: impl Iterator<Item = u64>) -> Result<u64, RedisError> {
        let (count, breaks) = (self.count, self.wanted.breaks);
        let listings: Vec<Listing> = cursors.map(|cursor| Listing::Scan { cursor, count }).collect();
        let sent = Instant::now();
        self.lister.window(&listings, [].into_iter(), LookupKind::Ttl, &mut self.listed).await?;
        breaks.rest(sent).await;
        let next = self.listed.pages().last().map_or(0, |page| page.next);
        let mut wanted = Vec::new();
        for key in self.listed.keys() {
            if key::is_own(key) {
                continue;
            }
            // Only matching keys are remembered: there are few of them, whatever the size of the node. Others
            // that come twice make the estimate a little smaller.
            if self.selector.wants(key) {
                if self.whole && !self.seen.insert(Key::new(key)) {
                    continue;
                }
                wanted.push(key);
            }
            self.sampled.listed += 1;
            self.sampled.names.observe(key);
        }
        let sent = Instant::now();
        let (ask, looked_up) = (self.selector.ask(), &mut self.looked_up);
        self.lister.window(&[], wanted.iter().copied(), ask, looked_up).await?;
        breaks.rest(sent).await;
        self.sampled.lookups += looked_up.lookups();
        for (key, seen) in wanted.into_iter().zip(looked_up.seen()) {
            self.bytes += key.len() * (1 + usize::from(self.whole));
            self.sampled.looks.push((Key::new(key), *seen));
        }
        Ok(next)
    }
}
