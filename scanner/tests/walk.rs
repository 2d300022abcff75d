//! Walks over simulated servers: every key that exists throughout is listed, exactly once if the table keeps its size.
//! (The coordinator's tests use live servers.)
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use keysweep_model::ids::TaskId;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, Scope};
use keysweep_model::slot::{SLOTS, SlotSet, slot_of, tag_for};
use keysweep_redis::{Listing, WindowReply};
use proptest::prelude::*;
use scanner::limits::SLOT_KEYS_MAX;
use scanner::walk::{ListedWindow, PageOutcome, Walk};

/// The next cursor, and the keys.
type Page = (u64, Vec<Bytes>);

/// A hash table as in Redis: the low bits of a key's hash select its bucket.
struct SimTable {
    buckets_log2: u32,
    keys: BTreeMap<Bytes, u64>,
}

impl SimTable {
    fn new(buckets_log2: u32, keys: impl IntoIterator<Item = (Bytes, u64)>) -> Self {
        Self { buckets_log2, keys: keys.into_iter().collect() }
    }

    /// `SCAN cursor COUNT count`: buckets in the order of the bit-reversed cursor (`dictScan`).
    fn scan(&self, cursor: u64, count: u32) -> Page {
        let mask = (1_u64 << self.buckets_log2) - 1;
        let (mut cursor, mut visits, mut keys) = (cursor, 0, Vec::new());
        loop {
            let bucket = cursor & mask;
            keys.extend(
                self.keys.iter().filter(|(_, hash)| **hash & mask == bucket).map(|(key, _)| key.clone()),
            );
            cursor = (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits();
            visits += 1;
            if cursor == 0 || visits >= count * 10 || keys.len() >= count as usize {
                return (cursor, keys);
            }
        }
    }
}

/// Walks `scope`; `answer` is the server and receives the number of writes so far. Returns the keys, each as often as
/// it was listed since the walk last started.
fn walk(scope: &Scope, count: u32, mut answer: impl FnMut(usize, Listing) -> Page) -> (Vec<Bytes>, Walk) {
    let in_slots = !matches!(scope, Scope::Cursors(CursorScope { slots: None, .. }));
    let (mut walk, mut window) = (Walk::new(scope, 1_000, count), ListedWindow::default());
    let mut listed = Vec::new();
    for write in 0..100_000 {
        // The room is limited in some writes.
        let listings = walk.next_listings([None, Some(1_000), Some(64), Some(1)][write % 4]);
        if listings.is_empty() {
            return (listed, walk);
        }
        window.answers = WindowReply::of(listings.into_iter().map(|listing| answer(write, listing)));
        if walk.process(&mut window) == PageOutcome::Restart {
            assert_eq!(window.keys().len(), 0);
            listed.clear();
        }
        for (slot, key) in window.keys() {
            assert_eq!(slot, if in_slots { slot_of(key) } else { 0 });
            listed.push(Bytes::copy_from_slice(key));
        }
    }
    panic!("the walk does not end");
}

fn cursors(bits: u32, parts: std::ops::Range<u64>) -> Scope {
    Scope::Cursors(CursorScope {
        pass: TaskId::new(),
        table: ScanTable::Database,
        ranges: parts.map(|part| CursorRange::part(part, bits)).collect(),
        bits,
        slots: None,
        process: "p".to_owned(),
    })
}

fn scan_of(table: &SimTable) -> impl Fn(Listing) -> Page + '_ {
    |listing| match listing {
        Listing::Scan { cursor, count } => table.scan(cursor, count),
        Listing::KeysInSlot { .. } => panic!("a cursor walk does not list slots"),
    }
}

fn hashed(hashes: &BTreeSet<u64>) -> Vec<(Bytes, u64)> {
    hashes.iter().map(|hash| (Bytes::from(hash.to_string()), *hash)).collect()
}

proptest! {
    #[test]
    fn ranges_list_every_key_once(
        hashes in prop::collection::btree_set(any::<u64>(), 0..400),
        buckets_log2 in 3_u32..9,
        bits in 0_u32..4,
        count in 1_u32..60,
    ) {
        let table = SimTable::new(buckets_log2, hashed(&hashes));
        let mut listed = Vec::new();
        let mut restarted = false;
        for part in 0..1 << bits {
            let (keys, walk) = walk(&cursors(bits, part..part + 1), count, |_, listing| scan_of(&table)(listing));
            restarted |= keys.len() == hashes.len() && bits > 0;
            prop_assert!(walk.reached().unread_ranges.is_empty());
            listed.extend(keys);
        }
        let distinct: BTreeSet<Bytes> = listed.iter().cloned().collect();
        prop_assert_eq!(distinct.len(), hashes.len(), "a key was missed");
        // A nearly empty table looks like a small one; a part is then read as a whole.
        prop_assert!(restarted || listed.len() == hashes.len(), "a key was listed twice");
    }

    #[test]
    fn resizing_a_table_hides_no_key(
        hashes in prop::collection::btree_set(any::<u64>(), 1..200),
        sizes in prop::collection::vec(1_u32..9, 1..40),
        bits in 0_u32..5,
        count in 1_u32..30,
    ) {
        let mut table = SimTable::new(sizes[0], hashed(&hashes));
        let mut seen = BTreeSet::new();
        for part in 0..1 << bits {
            let (keys, _) = walk(&cursors(bits, part..part + 1), count, |write, listing| {
                table.buckets_log2 = sizes[write % sizes.len()];
                scan_of(&table)(listing)
            });
            seen.extend(keys);
        }
        prop_assert_eq!(seen.len(), hashes.len());
    }

    #[test]
    fn resizing_a_table_hides_no_key_from_parallel_lanes(
        hashes in prop::collection::btree_set(any::<u64>(), 1..200),
        sizes in prop::collection::vec(1_u32..9, 1..40),
        bits in 1_u32..5,
        count in 1_u32..30,
    ) {
        let mut table = SimTable::new(sizes[0], hashed(&hashes));
        let (keys, _) = walk(&cursors(bits, 0..1 << bits), count, |write, listing| {
            table.buckets_log2 = sizes[write % sizes.len()];
            scan_of(&table)(listing)
        });
        prop_assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), hashes.len());
    }

    #[test]
    fn parallel_lanes_list_the_same_as_single_ones(
        hashes in prop::collection::btree_set(any::<u64>(), 200..400),
        count in 1_u32..60,
    ) {
        let table = SimTable::new(8, hashed(&hashes));
        let (keys, walk) = walk(&cursors(2, 0..4), count, |_, listing| scan_of(&table)(listing));
        prop_assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), hashes.len());
        prop_assert_eq!(walk.reached().ranges.len(), 4);
    }
}

/// A server with one table per slot.
struct SimSlots {
    slots: BTreeMap<u16, SimTable>,
}

impl SimSlots {
    fn new(counts: &BTreeMap<u16, usize>) -> Self {
        let table = |(slot, count): (&u16, &usize)| {
            let keys = (0..*count).map(|n| {
                let hash = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (Bytes::from(format!("{{{}}}{n}", tag_for(*slot))), hash)
            });
            (*slot, SimTable::new(((*count).max(2) as u32).ilog2(), keys))
        };
        Self { slots: counts.iter().map(table).collect() }
    }

    fn answer(&self, listing: Listing) -> Page {
        match listing {
            Listing::KeysInSlot { slot, count } => {
                let keys = self.slots.get(&slot).map(|table| table.keys.keys().take(count as usize).cloned());
                (0, keys.into_iter().flatten().collect())
            }
            Listing::Scan { cursor, count } => self.scan(cursor, count),
        }
    }

    fn scan(&self, mut cursor: u64, count: u32) -> Page {
        let mut keys = Vec::new();
        loop {
            let slot = (cursor % u64::from(SLOTS)) as u16;
            let inner = self.slots.get(&slot).map_or(0, |table| {
                let (next, found) = table.scan(cursor >> 14, count);
                keys.extend(found);
                next
            });
            let following = self.slots.keys().find(|next| **next > slot);
            cursor = match following {
                _ if inner != 0 => inner << 14 | u64::from(slot),
                Some(next) => u64::from(*next),
                None => return (0, keys),
            };
            if keys.len() >= count as usize {
                return (cursor, keys);
            }
        }
    }
}

proptest! {
    #[test]
    fn slots_are_listed_completely(
        counts in prop::collection::btree_map(0..SLOTS, 0_usize..60, 1..40),
        wanted in prop::collection::vec(0..SLOTS, 0..10),
        count in 1_u32..200,
    ) {
        let server = SimSlots::new(&counts);
        // Half of the slots with keys, and a few without.
        let wanted: SlotSet = counts.keys().step_by(2).copied().chain(wanted).collect();
        let expected: usize = counts.iter().filter(|(slot, _)| wanted.contains(**slot)).map(|(_, n)| n).sum();
        let scope = Scope::Slots { slots: wanted.clone() };
        let (keys, walk) = walk(&scope, count, |_, listing| server.answer(listing));
        prop_assert!(keys.iter().all(|key| wanted.contains(slot_of(key.as_ref()))));
        let distinct: BTreeSet<Bytes> = keys.iter().cloned().collect();
        prop_assert_eq!((keys.len(), distinct.len()), (expected, expected));
        prop_assert_eq!(walk.reached().slots, wanted);
    }

    #[test]
    fn ranges_of_the_table_of_a_slot_list_every_key_once(
        keys in 64_usize..400,
        bits in 0_u32..4,
        count in 1_u32..60,
    ) {
        // The slots beside it must not be read.
        let server = SimSlots::new(&BTreeMap::from([(5, 30), (6, keys), (7, 30)]));
        let Scope::Cursors(all) = cursors(bits, 0..1 << bits) else { panic!("a scope of cursors") };
        let only = Some([6].into_iter().collect());
        let scope = Scope::Cursors(CursorScope { table: ScanTable::Slot(6), slots: only, ..all });
        let (listed, walk) = walk(&scope, count, |_, listing| server.answer(listing));
        prop_assert!(walk.reached().unread_ranges.is_empty());
        let distinct: BTreeSet<Bytes> = listed.iter().cloned().collect();
        prop_assert_eq!((listed.len(), distinct.len()), (keys, keys));
    }
}

#[test]
fn giant_slots_are_reported_and_the_others_read() {
    let giant = SLOT_KEYS_MAX as usize + 3_000;
    let server = SimSlots::new(&BTreeMap::from([(5, 20), (6, giant), (7, 30)]));
    let wanted: SlotSet = (4..=8).collect();
    let (_, walk) = walk(&Scope::Slots { slots: wanted }, 1_000, |_, listing| server.answer(listing));
    let reached = walk.reached();
    assert_eq!(reached.giant, [6].into_iter().collect());
    assert_eq!(reached.slots, [4, 5, 7, 8].into_iter().collect());
}

#[test]
fn a_shared_table_is_filtered_by_slots() {
    let hashes: BTreeSet<u64> = (0..500_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let table = SimTable::new(7, hashed(&hashes));
    let Scope::Cursors(all) = cursors(0, 0..1) else { panic!("a scope of cursors") };
    let ours: SlotSet = (0..SLOTS / 3).collect();
    let scope = Scope::Cursors(CursorScope { slots: Some(ours.clone()), ..all });
    let (keys, _) = walk(&scope, 10, |_, listing| scan_of(&table)(listing));
    let expected = table.keys.keys().filter(|key| ours.contains(slot_of(key)));
    assert_eq!(keys.iter().collect::<BTreeSet<_>>(), expected.collect());
}
