//! Looks at some matching keys of a node, to estimate how many a run would delete. Reads only.

use std::collections::HashSet;

use scanner::{Fate, Selector, Verdict};
use shared::cluster::{Ask, Conn, Fault, Lister, Listing};
use shared::key::{self, Key};
use shared::limits::SAMPLE_KEYS;
use shared::messages::{Lookups, Reason};
use shared::range::SlotListing;
use shared::slot::SLOTS;

use crate::estimate::Sample;
use crate::plan::NodeKeys;

/// `COUNT` of a sampling SCAN.
const PAGE_KEYS: u32 = 500;

/// Pages taken from random places before the node is read from the start instead.
const RANDOM_PAGES: usize = 64;

/// Pages asked for in one write.
const PAGES_AT_ONCE: usize = 4;

/// A sample of up to [`SAMPLE_KEYS`] matching keys of `node` (all, if it has fewer), and the look-ups made.
///
/// Keys are hashed, so any stretch of a table is a fair sample of it; pages start at random places all the
/// same, because newer servers keep the keys of one slot together. Where random pages do not bring enough
/// matching keys, because they are rare, the node is read from the start until there are enough.
pub(crate) async fn sample(
    conn: &Conn,
    node: &NodeKeys,
    cluster: bool,
    selector: &Selector<'_>,
) -> Result<(Sample, Lookups), Fault> {
    let (lister, seen) = (conn.lister().await?, HashSet::new());
    let mut looking =
        Looking { lister, selector, sample: Sample::default(), lookups: Lookups::default(), seen };
    if node.keys > 2 * SAMPLE_KEYS {
        for _ in 0..RANDOM_PAGES / PAGES_AT_ONCE {
            let cursors = (0..PAGES_AT_ONCE).map(|_| random_cursor(node, cluster));
            looking.pages(cursors).await?;
            if looking.enough() {
                return Ok((looking.sample, looking.lookups));
            }
        }
        looking.sample = Sample::default();
        looking.seen.clear();
    }
    let mut cursor = 0;
    loop {
        cursor = looking.pages(std::iter::once(cursor)).await?;
        if cursor == 0 {
            looking.sample.all = true;
        }
        if cursor == 0 || looking.enough() {
            return Ok((looking.sample, looking.lookups));
        }
    }
}

/// A cursor somewhere in the node's tables. The server ignores the bits that its table does not have.
fn random_cursor(node: &NodeKeys, cluster: bool) -> u64 {
    let cursor = fastrand::u64(..);
    if !cluster || node.listing == SlotListing::KeysInSlot || node.keys == 0 {
        return cursor;
    }
    // One table per slot: a slot by its share of the keys, and a place in it.
    let mut key = fastrand::u64(..node.keys);
    let slot = node.slots.iter().find(|(_, keys)| {
        let here = key < *keys;
        key = key.saturating_sub(*keys);
        here
    });
    let slot = slot.or(node.slots.first()).map_or(0, |(slot, _)| *slot);
    cursor & !(u64::from(SLOTS) - 1) | u64::from(slot)
}

struct Looking<'a> {
    lister: Lister,
    selector: &'a Selector<'a>,
    sample: Sample,
    lookups: Lookups,
    seen: HashSet<Key>,
}

impl Looking<'_> {
    fn enough(&self) -> bool {
        self.sample.matching >= SAMPLE_KEYS
    }

    /// Looks at the pages at `cursors`; the cursor after the last of them.
    async fn pages(&mut self, cursors: impl Iterator<Item = u64>) -> Result<u64, Fault> {
        let listings: Vec<Listing> =
            cursors.map(|cursor| Listing::Scan { cursor, count: PAGE_KEYS }).collect();
        let (pages, _) = self.lister.window(&listings, &[b""; 0], Ask::Ttl).await?;
        let next = pages.last().map_or(0, |page| page.next);
        let selector = self.selector;
        let mut wanted = Vec::new();
        for key in pages.into_iter().flat_map(|page| page.keys) {
            if key::is_own(&key) {
                continue;
            }
            // Only matching keys are remembered: there are few of them, whatever the size of the node. Others
            // that come twice make the estimate a little smaller.
            if selector.wants(&key) {
                if !self.seen.insert(Key::new(&*key)) {
                    continue;
                }
                wanted.push(key);
            }
            self.sample.listed += 1;
        }
        let (_, looks) = self.lister.window(&[], &wanted, selector.ask()).await?;
        for (key, seen) in wanted.iter().zip(looks) {
            self.lookups += seen.lookups;
            let verdict = selector.judge(key, &seen);
            self.sample.matching += u64::from(verdict != Verdict::Gone);
            let Verdict::Found(reason, fate) = verdict else { continue };
            let protected = fate == Fate::Protected;
            self.sample.stale += u64::from(reason == Reason::Stale);
            self.sample.protected += u64::from(reason == Reason::Stale && protected);
            self.sample.inactive += u64::from(reason == Reason::Inactive && !protected);
        }
        Ok(next)
    }
}
