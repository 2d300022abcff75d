//! A sample of the matching keys of a node: enough to estimate how many a run would delete, or how long they live.
//! Reads only.

use std::collections::HashSet;

use keysweep_model::key::{self, Key};
use keysweep_model::messages::Lookups;
use keysweep_model::scan_end::ScanEnd;
use keysweep_model::slot::SLOTS;
use keysweep_redis::Throttle;
use keysweep_redis::limits::FIELDS_KEYS_AT_ONCE;
use keysweep_redis::{
    Conn, KeyState, Listing, LookupKind, RedisError, RedisErrorKind, ScanConnection, Ttl, WindowReply, fields,
};
use tokio::time::Instant;

use crate::classify::Classifier;
use crate::fields::ttl;
use crate::name_sample::NameSample;

/// The largest `COUNT` of a sampling SCAN.
const PAGE_KEYS: usize = 500;

/// How many keys are listed from random positions before the node is scanned from the start instead.
const RANDOM_KEYS: u64 = 32_000;

/// The largest number of pages requested in one write.
const PAGES_AT_ONCE: usize = 4;

/// The tables of a node and how to sample them.
pub struct SampledTables<'a> {
    /// Keys in its database.
    pub keys: u64,
    /// Whether it keeps one table per slot, not one for the database.
    pub slot_tables: bool,
    /// Its slots, each with its share of the keys in any unit.
    pub slots: &'a [(u16, u64)],
}

/// A sample of a node's keys.
#[derive(Default)]
pub struct KeySample {
    /// Keys listed, matching or not.
    pub listed: u64,
    /// The matching keys and their state. If `all` is set, each occurs once.
    pub looks: Vec<(Key, KeyState)>,
    /// Whether the sample contains all keys of the node.
    pub all: bool,
    /// A sample of all key names.
    pub names: NameSample,
    /// Lookups made, including those for keys that are not in the sample.
    pub lookups: Lookups,
}

/// How large a sample should be.
#[derive(Clone, Copy, Debug)]
pub struct SampleRequest {
    /// About how many matching keys; all, if there are fewer.
    pub keys: u64,
    /// The largest total size of their names.
    pub bytes: usize,
    /// Whether a large node is scanned from the start if random pages contain too few matching keys.
    pub search: bool,
    /// What is queried about each matching key.
    pub ask: LookupKind,
    /// The pauses between requests.
    pub breaks: Throttle,
}

/// Samples matching keys.
///
/// Keys are hashed, so any stretch of a table is a fair sample of it. Pages still start at random positions, because
/// newer servers keep the keys of one slot together. If random pages do not contain enough matching keys, because those
/// are rare, the node is scanned from the start until there are enough.
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

/// A random cursor in the node's tables. The server ignores the bits that its table does not have.
fn random_cursor(tables: &SampledTables<'_>) -> u64 {
    let cursor = fastrand::u64(..);
    let shares: u64 = tables.slots.iter().map(|(_, share)| share).sum();
    if !tables.slot_tables || shares == 0 {
        return cursor;
    }
    // Choose a slot by its share of the keys, then a position in it.
    let mut place = fastrand::u64(..shares);
    let slot = tables.slots.iter().find(|(_, share)| {
        let here = place < *share;
        place = place.saturating_sub(*share);
        here
    });
    cursor & !(u64::from(SLOTS) - 1) | slot.map_or(0, |(slot, _)| u64::from(*slot))
}

/// Checks which sampled keys without a TTL are hashes whose fields expire, for a server that has such hashes. Returns
/// the lookups made.
///
/// # Errors
/// When the server fails or denies the commands.
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
    /// Keys of a full scan, which may list a key twice. Random pages may repeat keys, too: they sample with
    /// replacement.
    seen: HashSet<Key>,
    whole: bool,
    /// Bytes of the stored names.
    bytes: usize,
}

impl Sampling<'_> {
    fn enough(&self) -> bool {
        self.sampled.looks.len() as u64 >= self.wanted.keys || self.bytes >= self.wanted.bytes
    }

    /// Reads the pages at `cursors`. Returns the cursor after the last of them.
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
            // Only matching keys are remembered: there are few of them on nodes of any size. Other keys
            // listed twice make the estimate slightly smaller.
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
        let (ask, looked_up) = (self.wanted.ask, &mut self.looked_up);
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
