//! Entries by key and by revision, for the in-memory store.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Entry;

/// Entries with two indexes.
#[derive(Default)]
pub(super) struct EntryTable {
    entries: BTreeMap<String, (u64, Vec<u8>)>,
    /// The key written at each revision; only each key's latest revision.
    order: BTreeMap<u64, String>,
    latest: u64,
}

impl EntryTable {
    /// Writes the entry if the revision of `key` is `expected`; otherwise returns the present entry.
    pub(super) fn write(
        &mut self,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> Result<u64, Option<Entry>> {
        if !self.is_at(key, expected) {
            return Err(self.entry(key));
        }
        let revision = self.latest + 1;
        self.put(key, value, revision);
        Ok(revision)
    }

    /// Whether the revision of `key` is `expected`; `None`: the key does not exist.
    pub(super) fn is_at(&self, key: &str, expected: Option<u64>) -> bool {
        self.entries.get(key).map(|(revision, _)| *revision) == expected
    }

    /// Inserts an entry with its revision.
    fn put(&mut self, key: &str, value: Vec<u8>, revision: u64) {
        if let Some((old, _)) = self.entries.insert(key.to_owned(), (revision, value)) {
            self.order.remove(&old);
        }
        self.order.insert(revision, key.to_owned());
        self.latest = self.latest.max(revision);
    }

    pub(super) fn entry(&self, key: &str) -> Option<Entry> {
        let (revision, value) = self.entries.get(key)?;
        Some(Entry { key: key.to_owned(), value: value.clone(), revision: *revision, trust: Ok(()) })
    }

    pub(super) fn first_after(&self, revision: u64, prefix: &str) -> Option<Entry> {
        let key = self
            .order
            .range((Bound::Excluded(revision), Bound::Unbounded))
            .map(|(_, key)| key)
            .find(|key| key.starts_with(prefix))?;
        self.entry(key)
    }

    pub(super) fn latest(&self) -> u64 {
        self.latest
    }
}
