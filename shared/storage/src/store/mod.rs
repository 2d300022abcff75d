//! The store of what stages record: entries that are created once, and a few that are replaced by revision. The
//! in-memory store is here, the NATS store in `shared/nats/src/`, the store in a SQLite file in `shared/state/src/`.
//! Every implementation of [`Store`] must pass the contract in `shared/testkit/src/contracts/store.rs`.

mod memory;
mod table;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_signing::SignatureError;
use thiserror::Error;

pub use memory::MemoryStore;

/// Why the store failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the store is unavailable: {0}")]
pub struct StoreError(pub String);

/// An entry: its key, its value, and the revision at which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key: words joined by `/`.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision. Revisions increase over the whole store.
    pub revision: u64,
    /// Whether its signature was accepted, where signatures are required.
    pub trust: Result<(), SignatureError>,
}

/// The result of an attempt to create an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// Created now, at this revision.
    Now(u64),
    /// It existed already, with this content.
    Before(Entry),
}

/// The result of an operation of a store.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A store of small entries. A write is durable when the call returns.
pub trait Store: Send + Sync {
    /// Creates the entry unless it exists. The first caller wins, permanently.
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created>;

    /// The entry, if it exists.
    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>>;

    /// Compare-and-set: replaces the entry if its revision is still `revision`. Returns the new revision, or `None` if
    /// it has changed.
    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>>;

    /// The first entry after `revision` whose key starts with `prefix` (which ends with `/`), if there is one.
    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>>;

    /// The first entries after `revision` whose key starts with `prefix`, in the order of revisions: at least one if there
    /// is one, and at most `max`. One, unless the store reads several as fast.
    fn entries_after(&self, prefix: &str, revision: u64, _max: usize) -> StoreFuture<'_, Vec<Entry>> {
        let next = self.next_after(prefix, revision);
        async move { Ok(next.await?.into_iter().collect()) }.boxed()
    }

    /// Watches the entries whose key starts with `prefix`: existing ones, then new ones, each at its latest revision,
    /// in the order of revisions.
    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>>;
}

/// Entries that are read together.
const ENTRIES_AT_ONCE: usize = 1_000;

/// All entries whose key starts with `prefix`, in the order of revisions.
///
/// # Errors
/// When the store fails.
pub async fn all(store: &dyn Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    all_after(store, prefix, 0).await
}

/// The entries whose keys start with `prefix` that changed after `revision`, in the order of their changes.
///
/// # Errors
/// When the store fails.
pub async fn all_after(store: &dyn Store, prefix: &str, mut revision: u64) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    loop {
        let more = store.entries_after(prefix, revision, ENTRIES_AT_ONCE).await?;
        let Some(last) = more.last() else { return Ok(entries) };
        revision = last.revision;
        entries.extend(more);
    }
}

/// Writes an entry if its revision is still `expected`, or if it still does not exist. Returns the new revision, or
/// `None` if another writer was faster.
///
/// # Errors
/// When the store fails.
pub async fn write(
    store: &dyn Store,
    key: &str,
    value: Vec<u8>,
    expected: Option<u64>,
) -> Result<Option<u64>, StoreError> {
    match expected {
        Some(revision) => store.update(key, value, revision).await,
        None => match store.create(key, value).await? {
            Created::Now(revision) => Ok(Some(revision)),
            Created::Before(_) => Ok(None),
        },
    }
}

/// A watch on the entries below a prefix.
pub trait Watch: Send {
    /// The next entry; waits for it. Dropping the future loses no entry.
    fn next(&mut self) -> StoreFuture<'_, Entry>;
}
