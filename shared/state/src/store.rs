//! The trait `Store` over the table `entries`.

use futures_util::FutureExt;
use keysweep_model::time::now_ms;
use keysweep_storage::store::{Created, Entry, Store, StoreError, StoreFuture, Watch};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::entries;
use crate::file::StateFile;
use crate::limits::WATCH_POLL;

/// Entries of one scope, or of all scopes for reading. Clones share the file.
#[derive(Clone)]
pub struct StateStore {
    file: StateFile,
    scope: Option<String>,
}

impl StateStore {
    pub(crate) fn new(file: StateFile, scope: Option<String>) -> Self {
        Self { file, scope }
    }

    fn scope(&self) -> Result<String, StoreError> {
        let only_read = || StoreError("the entries of all scopes are only for reading".to_owned());
        self.scope.clone().ok_or_else(only_read)
    }

    async fn entries(&self, prefix: &str, revision: u64, max: usize) -> Result<Vec<Entry>, StoreError> {
        let (scope, prefix) = (self.scope.clone(), prefix.to_owned());
        let read = move |conn: &_| entries::after(conn, scope.as_deref(), &prefix, revision, max);
        Ok(self.file.read(read).await?)
    }

    async fn next_entry(&self, prefix: &str, revision: u64) -> Result<Option<Entry>, StoreError> {
        Ok(self.entries(prefix, revision, 1).await?.pop())
    }
}

impl Store for StateStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let key = key.to_owned();
        async move {
            let (scope, now) = (self.scope()?, now_ms());
            Ok(self.file.write(move |conn| entries::create(conn, &scope, &key, &value, now)).await?)
        }
        .boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let (scope, key) = (self.scope.clone(), key.to_owned());
        async move { Ok(self.file.read(move |conn| entries::get(conn, scope.as_deref(), &key)).await?) }
            .boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        let key = key.to_owned();
        async move {
            let (scope, now) = (self.scope()?, now_ms());
            let update = move |conn: &_| entries::update(conn, &scope, &key, (&value, revision), now);
            Ok(self.file.write(update).await?)
        }
        .boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        let prefix = prefix.to_owned();
        async move { self.next_entry(&prefix, revision).await }.boxed()
    }

    fn entries_after(&self, prefix: &str, revision: u64, max: usize) -> StoreFuture<'_, Vec<Entry>> {
        let prefix = prefix.to_owned();
        async move { self.entries(&prefix, revision, max).await }.boxed()
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let (store, prefix, writes) = (self.clone(), prefix.to_owned(), self.file.writes());
        let watch = StateWatch { store, prefix, writes, seen: 0 };
        async move { Ok(Box::new(watch) as Box<dyn Watch>) }.boxed()
    }
}

struct StateWatch {
    store: StateStore,
    prefix: String,
    writes: watch::Receiver<u64>,
    seen: u64,
}

impl Watch for StateWatch {
    fn next(&mut self) -> StoreFuture<'_, Entry> {
        async move {
            loop {
                self.writes.mark_unchanged();
                if let Some(entry) = self.store.next_entry(&self.prefix, self.seen).await? {
                    self.seen = entry.revision;
                    return Ok(entry);
                }
                // The end of the wait is not an error: other processes write, too. The sender is in the file, which
                // this watch keeps open.
                let _ = timeout(WATCH_POLL, self.writes.changed()).await;
            }
        }
        .boxed()
    }
}
