//! What stages remember: entries that are created once, and few that are replaced by revision. The
//! ones in memory and in a file are here, that over NATS in `shared/src/nats/`; whatever implements [`Store`] has to pass
//! [`contract`].

pub mod contract;
mod file;
mod memory;
mod table;

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::signing::SignatureError;

pub use file::FileStore;
pub use memory::MemoryStore;

/// Why the store did not answer.
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
    /// Revisions grow over the whole store.
    pub revision: u64,
    /// Whether it is to be believed, where orders have to be signed.
    pub trust: Result<(), SignatureError>,
}

/// What came of an attempt to create an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is ours, at this revision.
    Now(u64),
    /// It was there before, with this content.
    Before(Entry),
}

/// A store of small entries. What is written is kept when the call returns.
pub trait Store: Send + Sync {
    /// Writes the entry unless there is one: the first caller wins, for ever.
    fn create(&self, key: &str, value: Vec<u8>) -> BoxFuture<'_, Result<Created, StoreError>>;

    /// The entry, if there is one.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Entry>, StoreError>>;

    /// Replaces the entry if its revision still is `revision`; the new revision, or `None` if it is not.
    fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<u64>, StoreError>>;

    /// The first entry after `revision` whose key starts with `prefix` (which ends with `/`), if there is one.
    fn next_after(&self, prefix: &str, revision: u64) -> BoxFuture<'_, Result<Option<Entry>, StoreError>>;

    /// All entries whose key starts with `prefix`, those that are there and then those that come, each at
    /// its latest revision, in the order of revisions.
    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>>;

    /// Why what is written is not kept, and what was kept may be missing, if that is so.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// Writes an entry if its revision still is `expected`, or if there still is none. The new revision, or `None` if
/// somebody else was faster.
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

/// A view on the entries below a prefix.
pub trait Watch: Send {
    /// The next entry; waits for it. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Result<Entry, StoreError>>;
}
