//! The store of embedded mode. It lives as long as the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::FutureExt;
use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use tokio::sync::watch;

use super::table::EntryTable;
use super::{Created, Entry, Store, StoreError, StoreFuture, Watch};

/// Entries in memory.
pub struct MemoryStore(Arc<MemoryShared>);

struct MemoryShared {
    /// The values are compressed.
    table: Mutex<EntryTable>,
    /// The latest revision, for waiting watches.
    latest: watch::Sender<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let shared = MemoryShared { table: Mutex::default(), latest: watch::Sender::new(0) };
        Self(Arc::new(shared))
    }
}

impl MemoryShared {
    fn table(&self) -> MutexGuard<'_, EntryTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, Option<Entry>> {
        let value = packed(value);
        let mut table = self.table();
        let written = table.write(key, value, expected);
        let revision = written.map_err(|there| there.map(unpacked))?;
        // Still under the lock, so that revisions are published in order.
        self.latest.send_replace(table.latest());
        Ok(revision)
    }

    fn first_after(&self, revision: u64, prefix: &str) -> Option<Entry> {
        self.table().first_after(revision, prefix).map(unpacked)
    }
}

/// Compresses a value. A run in one process keeps the reports of all its tasks and the receipts of all its batches
/// until it ends. They are most of the memory that grows with the number of keys.
fn packed(value: &[u8]) -> Vec<u8> {
    let mut packed = compress_prepend_size(value);
    packed.shrink_to_fit();
    packed
}

#[expect(clippy::expect_used, reason = "it was packed by this store")]
fn unpacked(entry: Entry) -> Entry {
    let value = decompress_size_prepended(&entry.value).expect("it was packed here");
    Entry { value, ..entry }
}

impl Store for MemoryStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let created = match self.0.write(key, &value, None) {
            Ok(revision) => Ok(Created::Now(revision)),
            Err(Some(entry)) => Ok(Created::Before(entry)),
            Err(None) => Err(StoreError(format!("`{key}` is neither present nor absent"))),
        };
        async move { created }.boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let entry = self.0.table().entry(key).map(unpacked);
        async move { Ok(entry) }.boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        let updated = self.0.write(key, &value, Some(revision)).ok();
        async move { Ok(updated) }.boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        let entry = self.0.first_after(revision, prefix);
        async move { Ok(entry) }.boxed()
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let watch = MemoryWatch {
            shared: Arc::clone(&self.0),
            latest: self.0.latest.subscribe(),
            prefix: prefix.to_owned(),
            seen: 0,
        };
        async move { Ok(Box::new(watch) as Box<dyn Watch>) }.boxed()
    }
}

struct MemoryWatch {
    shared: Arc<MemoryShared>,
    latest: watch::Receiver<u64>,
    prefix: String,
    seen: u64,
}

impl Watch for MemoryWatch {
    fn next(&mut self) -> StoreFuture<'_, Entry> {
        async move {
            loop {
                let latest = *self.latest.borrow_and_update();
                let entry = self.shared.first_after(self.seen, &self.prefix);
                if let Some(entry) = entry {
                    self.seen = entry.revision;
                    return Ok(entry);
                }
                self.seen = self.seen.max(latest);
                // The sender is in `shared`, which this watch keeps alive.
                self.latest.changed().await.map_err(|e| StoreError(e.to_string()))?;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_values_are_unpacked_unchanged(value: Vec<u8>, times in 0_usize..100) {
            let value = value.repeat(times);
            let shared = MemoryStore::default().0;
            prop_assert!(shared.write("key", &value, None).is_ok());
            let again = shared.write("key", b"other", None);
            prop_assert_eq!(again.unwrap_err().map(|there| there.value), Some(value.clone()));
            prop_assert_eq!(shared.first_after(0, "k").map(|entry| entry.value), Some(value));
        }
    }

    #[test]
    fn repetitive_values_pack_small() {
        assert!(packed(&b"a letter for each key".repeat(1_000)).capacity() < 200);
    }
}
