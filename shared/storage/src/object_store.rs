//! Buckets of files that are written once, outside this machine.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

/// Opens buckets by name.
pub trait ObjectStore: Send + Sync {
    /// The bucket `name`: letters, digits, `-` and `_`. Opening does not contact the store.
    fn bucket(&self, name: &str) -> Arc<dyn ObjectBucket>;
}

/// A bucket. Errors are texts of the store, for people.
pub trait ObjectBucket: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Opens it; creates it if it is missing.
    fn make(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Stores an object as a whole; creates the bucket if it is missing. Readers then see it instead of an older one
    /// of the same name.
    fn put<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), String>>;

    /// The names of all objects.
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;

    /// The content of an object, at most `bytes_max` bytes, checked by its digest.
    fn get<'a>(&'a self, name: &'a str, bytes_max: u64) -> BoxFuture<'a, Result<Vec<u8>, String>>;
}
