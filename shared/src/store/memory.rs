//! The store of an embedded run. It lives as long as the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::watch;

use super::{Created, Entry, Store, StoreError, Watch};

/// Entries in this process.
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The latest revision, for those who wait.
    latest: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, (u64, Vec<u8>)>,
    /// The key written at each revision, as long as it is the key's latest.
    order: BTreeMap<u64, String>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let shared = Shared { state: Mutex::default(), latest: watch::Sender::new(0) };
        Self(Arc::new(shared))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes if the present revision of `key` is `expected`; otherwise says what is there.
    fn write(&self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, Option<Entry>> {
        let mut state = self.state();
        let present = state.entries.get(key).map(|(revision, _)| *revision);
        if present != expected {
            return Err(state.entry(key));
        }
        let revision = *self.latest.borrow() + 1;
        if let Some(old) = present {
            state.order.remove(&old);
        }
        state.entries.insert(key.to_owned(), (revision, value));
        state.order.insert(revision, key.to_owned());
        // Still under the lock, so that revisions are published in order.
        self.latest.send_replace(revision);
        Ok(revision)
    }
}

impl State {
    fn entry(&self, key: &str) -> Option<Entry> {
        let (revision, value) = self.entries.get(key)?;
        Some(Entry { key: key.to_owned(), value: value.clone(), revision: *revision })
    }

    fn first_after(&self, revision: u64, prefix: &str) -> Option<Entry> {
        let key = self.order.range(revision + 1..).map(|(_, key)| key).find(|key| key.starts_with(prefix))?;
        self.entry(key)
    }
}

impl Store for MemoryStore {
    fn create(&self, key: &str, value: Vec<u8>) -> BoxFuture<'_, Result<Created, StoreError>> {
        let created = match self.0.write(key, value, None) {
            Ok(revision) => Ok(Created::Now(revision)),
            Err(Some(entry)) => Ok(Created::Before(entry)),
            Err(None) => Err(StoreError(format!("`{key}` is neither there nor absent"))),
        };
        async move { created }.boxed()
    }

    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        let entry = self.0.state().entry(key);
        async move { Ok(entry) }.boxed()
    }

    fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        let updated = self.0.write(key, value, Some(revision)).ok();
        async move { Ok(updated) }.boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        let entry = self.0.state().first_after(revision, prefix);
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
                let entry = self.shared.state().first_after(self.seen, &self.prefix);
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
