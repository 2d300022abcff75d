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

/// The keys of a node, and by slot in the order in which its hash table has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyspace {
    entries: BTreeMap<Vec<u8>, KeyEntry>,
    places: BTreeSet<(u64, Vec<u8>)>,
    by_slot: BTreeMap<u16, BTreeSet<Vec<u8>>>,
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where a key is in the order of SCAN: that of a hash table with a seed of its own.
fn place(key: &[u8]) -> u64 {
    // The top bits are used: cursors are 48 bits long.
    (hash(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16).max(1)
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
    }

    /// Removes a key; returns its entry.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<KeyEntry> {
        let entry = self.entries.remove(key)?;
        self.places.remove(&(place(key), key.to_vec()));
        if let Some(keys) = self.by_slot.get_mut(&slot_of(key)) {
            keys.remove(key);
        }
        Some(entry)
    }

    /// Removes what has expired at `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        let gone = self.entries.iter().filter(|(_, entry)| entry.expires_ms.is_some_and(|at| at <= now_ms));
        let gone: Vec<Vec<u8>> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// Up to `count` keys from `cursor` on, and the next cursor; 0 at the end. As SCAN guarantees, a key that is there from
    /// the first call to the last one is returned.
    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (u64, Vec<Vec<u8>>) {
        let mut found: Vec<Vec<u8>> = Vec::new();
        for (place, key) in self.places.range((cursor, Vec::new())..) {
            if found.len() >= count {
                return (*place, found);
            }
            found.push(key.clone());
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
