//! The store of an embedded run. It lives as long as the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;

use super::table::Table;
use super::{Created, Entry, Store, StoreError, Watch};

/// Entries in this process.
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    /// The latest revision, for those who wait.
    latest: watch::Sender<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let shared = Shared { table: Mutex::default(), latest: watch::Sender::new(0) };
        Self(Arc::new(shared))
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<u64, Option<Entry>> {
        let mut table = self.table();
        let revision = table.write(key, value, expected)?;
        // Still under the lock, so that revisions are published in order.
        self.latest.send_replace(table.latest());
        Ok(revision)
    }
}

impl Store for MemoryStore {
    fn create(&self, key: &str, value: Vec<u8>) -> BoxFuture<'_, Result<Created, StoreError>> {
        let created = match self.0.write(key, &value, None) {
            Ok(revision) => Ok(Created::Now(revision)),
            Err(Some(entry)) => Ok(Created::Before(entry)),
            Err(None) => Err(StoreError(format!("`{key}` is neither there nor absent"))),
        };
        async move { created }.boxed()
    }

    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        let entry = self.0.table().entry(key);
        async move { Ok(entry) }.boxed()
    }

    fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        let updated = self.0.write(key, &value, Some(revision)).ok();
        async move { Ok(updated) }.boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        let entry = self.0.table().first_after(revision, prefix);
        async move { Ok(entry) }.boxed()
    }

    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
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
    shared: Arc<Shared>,
    latest: watch::Receiver<u64>,
    prefix: String,
    seen: u64,
}

impl Watch for MemoryWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<Entry, StoreError>> {
        async move {
            loop {
                let latest = *self.latest.borrow_and_update();
                let entry = self.shared.table().first_after(self.seen, &self.prefix);
                if let Some(entry) = entry {
                    self.seen = entry.revision;
                    return Ok(entry);
                }
                self.seen = self.seen.max(latest);
                // The sender lives in `shared`, which we hold.
                self.latest.changed().await.map_err(|e| StoreError(e.to_string()))?;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_contract_holds() {
        contract::the_first_to_create_wins(&MemoryStore::default()).await;
        contract::updates_are_fenced_by_revision(&MemoryStore::default()).await;
        contract::a_watch_shows_what_is_and_what_comes(&MemoryStore::default()).await;
        contract::a_dropped_wait_loses_nothing(&MemoryStore::default()).await;
        contract::concurrent_writers_agree(&MemoryStore::default()).await;
        contract::entries_follow_each_other(&MemoryStore::default()).await;
    }
}
