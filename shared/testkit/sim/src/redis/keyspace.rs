//! The keys of one node.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::slot::slot_of;

/// A value. Its content matters where it is compared; of other types only the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A string.
    Text(Vec<u8>),
    /// Another type, by its name, with so many elements.
    Other(&'static str, u64),
}

impl Value {
    /// The reply of TYPE.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Other(name, _) => name,
        }
    }

    /// The reply of DUMP: the content, and a checksum of eight bytes.
    pub(crate) fn dumped(&self) -> Vec<u8> {
        let mut bytes = match self {
            Self::Text(text) => [b"\0".as_slice(), text].concat(),
            Self::Other(name, elements) => format!("\x01{name} {elements}").into_bytes(),
        };
        bytes.extend(hash(&bytes).to_be_bytes());
        bytes
    }
}

/// A key's value and times, in milliseconds of the node's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) value: Value,
    pub(crate) expires_ms: Option<u64>,
    pub(crate) used_ms: u64,
    /// Counts writes of the whole world: two entries are the same key only if this is equal.
    pub(crate) version: u64,
}

/// The keys of a node, by slot, and as its hash table has them.
#[derive(Clone, Debug)]
pub(crate) struct Keyspace {
    entries: BTreeMap<Vec<u8>, KeyEntry>,
    places: BTreeSet<(u64, Vec<u8>)>,
    by_slot: BTreeMap<u16, BTreeSet<Vec<u8>>>,
    /// The table has two to the power of so many buckets: a bucket is the first bits of the places in it.
    bits: u32,
}

/// An empty table has four buckets.
const BITS_MIN: u32 = 2;

/// A table shrinks if it has so many times more buckets than keys.
const SPARSE: usize = 8;

/// SCAN visits at most so many times `COUNT` buckets, and returns what it has found.
const EMPTY_VISITS: usize = 10;

impl Default for Keyspace {
    fn default() -> Self {
        let (entries, places, by_slot) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { entries, places, by_slot, bits: BITS_MIN }
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where a key is in the order of SCAN: that of a hash table with a seed of its own.
fn place(key: &[u8]) -> u64 {
    hash(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Keyspace {
    /// The entry of a key that has not expired at `now_ms`.
    pub(crate) fn live(&self, key: &[u8], now_ms: u64) -> Option<&KeyEntry> {
        self.entries.get(key).filter(|entry| entry.expires_ms.is_none_or(|at| at > now_ms))
    }

    /// The same, to be changed.
    pub(crate) fn live_mut(&mut self, key: &[u8], now_ms: u64) -> Option<&mut KeyEntry> {
        self.entries.get_mut(key).filter(|entry| entry.expires_ms.is_none_or(|at| at > now_ms))
    }

    /// Whether a key is stored, expired or not.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    /// Writes a key.
    pub(crate) fn insert(&mut self, key: Vec<u8>, entry: KeyEntry) {
        self.places.insert((place(&key), key.clone()));
        self.by_slot.entry(slot_of(&key)).or_default().insert(key.clone());
        self.entries.insert(key, entry);
        self.resize();
    }

    /// Removes a key; returns its entry.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<KeyEntry> {
        let entry = self.entries.remove(key)?;
        self.places.remove(&(place(key), key.to_vec()));
        if let Some(keys) = self.by_slot.get_mut(&slot_of(key)) {
            keys.remove(key);
        }
        self.resize();
        Some(entry)
    }

    /// Gives the table as many buckets as a server would for its keys.
    fn resize(&mut self) {
        while 1_usize << self.bits < self.entries.len() {
            self.bits += 1;
        }
        while self.bits > BITS_MIN && 1_usize << self.bits > self.entries.len() * SPARSE {
            self.bits -= 1;
        }
    }

    /// Removes what has expired at `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        let gone = self.entries.iter().filter(|(_, entry)| entry.expires_ms.is_some_and(|at| at <= now_ms));
        let gone: Vec<Vec<u8>> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// About `count` keys from `cursor` on, and the next cursor; 0 at the end. Cursors count in reversed bits, as SCAN's do:
    /// so a key that is there from the first call to the last one is returned, whatever the table's size becomes.
    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (u64, Vec<Vec<u8>>) {
        let width = u64::BITS - self.bits;
        let first = cursor.reverse_bits() >> width;
        let mut found: Vec<Vec<u8>> = Vec::new();
        for bucket in first..1 << self.bits {
            let is_enough = found.len() >= count || (bucket - first) as usize >= count * EMPTY_VISITS;
            if bucket > first && is_enough {
                return ((bucket << width).reverse_bits(), found);
            }
            let from = self.places.range((bucket << width, Vec::new())..);
            found.extend(from.take_while(|(place, _)| place >> width == bucket).map(|(_, key)| key.clone()));
        }
        (0, found)
    }

    /// The keys of a slot.
    pub(crate) fn in_slot(&self, slot: u16) -> impl Iterator<Item = &Vec<u8>> {
        self.by_slot.get(&slot).into_iter().flatten()
    }

    /// All keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &KeyEntry)> {
        self.entries.iter()
    }

    /// Keys, expired ones that were not removed yet included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those of them that have a TTL.
    pub(crate) fn expiring(&self) -> usize {
        self.entries.values().filter(|entry| entry.expires_ms.is_some()).count()
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> KeyEntry {
        KeyEntry { value: Value::Text(Vec::new()), expires_ms: None, used_ms: 0, version: 0 }
    }

    /// The cursors of a listing, while the table grows and shrinks between its pages; and the keys that it returns.
    fn listed(keys: &mut Keyspace, change: impl Fn(&mut Keyspace, usize)) -> (Vec<u64>, BTreeSet<Vec<u8>>) {
        let (mut cursor, mut cursors, mut listed) = (0, Vec::new(), BTreeSet::new());
        loop {
            let (next, page) = keys.scan(cursor, 10);
            listed.extend(page);
            cursors.push(next);
            if next == 0 {
                return (cursors, listed);
            }
            change(keys, cursors.len());
            cursor = next;
        }
    }

    #[test]
    fn a_listing_has_the_cursors_of_a_table_and_misses_no_key_that_stays() {
        let name = |key: usize| format!("key:{key}").into_bytes();
        let mut keys = Keyspace::default();
        (0..400).for_each(|key| keys.insert(name(key), entry()));
        let stay: BTreeSet<Vec<u8>> = (0..50).map(name).collect();
        let (cursors, all) = listed(&mut keys, |_, _| {});
        assert_eq!(all.len(), 400);
        assert!(cursors.iter().all(|cursor| *cursor < 512), "{cursors:?}");
        assert!(cursors[..cursors.len() - 1].iter().map(|cursor| cursor.reverse_bits()).is_sorted());
        let (_, while_it_grows) = listed(&mut keys, |keys, page| {
            let more = if page < 5 { page * 1_000..page * 1_000 + 300 } else { 0..0 };
            more.for_each(|key| keys.insert(name(key), entry()));
        });
        assert!(while_it_grows.is_superset(&stay));
        assert!(keys.bits > 10, "{} keys", keys.len());
        let (_, while_it_shrinks) = listed(&mut keys, |keys, _| {
            let gone: Vec<Vec<u8>> =
                keys.entries.keys().filter(|key| !stay.contains(*key)).take(500).cloned().collect();
            gone.iter().for_each(|key| drop(keys.remove(key)));
        });
        assert!(while_it_shrinks.is_superset(&stay));
        assert!(keys.bits < 10, "{} keys", keys.len());
    }
}
