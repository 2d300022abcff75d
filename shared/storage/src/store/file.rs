//! A store in one file, for data that outlives a run in embedded mode: one JSON document per line, appended. Several
//! processes may share the file; each operation takes its lock and first reads what other processes have added. Values
//! are text. The next writer drops a line that was cut off by a crash. If the file becomes unusable (a full disk, a
//! lock that is never released), the process continues: from then on, entries are kept in memory only, and
//! [`Store::trouble`] reports why.
//!
//! The file is used on blocking threads only, and no operation takes longer than [`FILE_TIMEOUT`].

mod known;
mod lock;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::FutureExt;
use keysweep_files::{FileError, Folder};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use self::known::{LogFile, LogLine};
use super::{Created, Entry, Store, StoreError, StoreFuture, Watch};
use crate::limits::{FILE_TIMEOUT, REVISION_MAX};

/// How often a watch reads the file.
const POLL: Duration = Duration::from_millis(200);

/// Entries in a file. Clones share the store.
#[derive(Clone)]
pub struct FileStore(Arc<FileShared>);

struct FileShared {
    folder: Folder,
    name: String,
    /// What has been read of the file; used on blocking threads only.
    known: Mutex<LogFile>,
    /// Why the file is no longer used.
    lost: OnceLock<String>,
    /// The entries from then on.
    memory: Mutex<LogFile>,
}

impl FileStore {
    /// Opens the store in the file at `path`. Creates the file if it is missing, and its folder, which must belong to
    /// the current user. Does not wait for the lock.
    ///
    /// # Errors
    /// When the file cannot be created, read or written.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = Folder::private(path.parent().unwrap_or(Path::new(".")))?;
        folder.open(&name)?;
        let (known, memory) = (Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(FileShared { folder, name, known, lost: OnceLock::new(), memory })))
    }

    /// Runs `what` with the current content of the file and the file, or with the memory if the file is no longer
    /// used.
    async fn with<T: Send + 'static>(
        &self,
        what: impl Fn(Option<&mut File>, &mut LogFile) -> io::Result<T> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.0.lost.get().is_none() {
            let (shared, what) = (Arc::clone(&self.0), what.clone());
            let used = spawn_blocking(move || shared.locked(|file, known| what(Some(file), known)));
            match timeout(FILE_TIMEOUT, used).await {
                Ok(Ok(Ok(done))) => return Ok(done),
                Ok(Ok(Err(e))) => self.0.lose(&e.to_string()),
                Ok(Err(e)) => self.0.lose(&e.to_string()),
                Err(_) => self.0.lose(&format!("it took longer than {} s", FILE_TIMEOUT.as_secs())),
            }
        }
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        what(None, &mut memory).map_err(|e| StoreError(format!("{}: {e}", self.0.path().display())))
    }

    async fn write(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> Result<Result<u64, Option<Entry>>, StoreError> {
        let text = String::from_utf8(value).map_err(|e| StoreError(e.to_string()))?;
        let key = key.to_owned();
        self.with(move |file, known| {
            if let (Some(file), true) = (file, known.table.is_at(&key, expected)) {
                if known.table.latest() >= REVISION_MAX {
                    return Err(io::Error::other("its revisions are used up: move the file away"));
                }
                let revision = known.table.latest() + 1;
                // The file first: an entry that is not in the file is not in the store.
                known.append(file, &LogLine { key: key.clone(), revision, value: text.clone() })?;
            }
            Ok(known.table.write(&key, text.clone().into_bytes(), expected))
        })
        .await
    }

    async fn next_entry(&self, prefix: String, revision: u64) -> Result<Option<Entry>, StoreError> {
        self.with(move |_, known| Ok(known.table.first_after(revision, &prefix))).await
    }
}

impl FileShared {
    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Runs `what` with the file locked and its content read. Blocks.
    fn locked<T>(&self, what: impl FnOnce(&mut File, &mut LogFile) -> io::Result<T>) -> io::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = self.lost.get() {
            return Err(io::Error::other(why.clone()));
        }
        let done = self.used(&mut known, what);
        if let Err(e) = &done {
            // From here on, the memory starts with what was read so far.
            *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut *known);
            self.lose(&e.to_string());
        }
        done
    }

    fn used<T>(
        &self,
        known: &mut LogFile,
        what: impl FnOnce(&mut File, &mut LogFile) -> io::Result<T>,
    ) -> io::Result<T> {
        // A separate lock file, because the file itself is replaced sometimes.
        let _lock = lock::take(&self.folder, &format!("{}.lock", self.name))?;
        let mut file = self.folder.open(&self.name)?;
        known.catch_up(&mut file)?;
        let done = what(&mut file, known)?;
        known.rewrite_if_long(&self.folder, &self.name)?;
        Ok(done)
    }

    /// Stops using the file, and logs the reason once.
    fn lose(&self, why: &str) {
        if self.lost.set(why.to_owned()).is_ok() {
            tracing::warn!("{}: {why}; new entries are kept in memory only", self.path().display());
        }
    }
}

impl Store for FileStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let key = key.to_owned();
        async move {
            match self.write(&key, value, None).await? {
                Ok(revision) => Ok(Created::Now(revision)),
                Err(Some(entry)) => Ok(Created::Before(entry)),
                Err(None) => Err(StoreError(format!("`{key}` is neither present nor absent"))),
            }
        }
        .boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let key = key.to_owned();
        self.with(move |_, known| Ok(known.table.entry(&key))).boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        let key = key.to_owned();
        async move { Ok(self.write(&key, value, Some(revision)).await?.ok()) }.boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        self.next_entry(prefix.to_owned(), revision).boxed()
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let watch = FileWatch { store: self.clone(), prefix: prefix.to_owned(), seen: 0 };
        async move { Ok(Box::new(watch) as Box<dyn Watch>) }.boxed()
    }

    fn trouble(&self) -> Option<String> {
        self.0.lost.get().map(|why| format!("{}: {why}", self.0.path().display()))
    }
}

struct FileWatch {
    store: FileStore,
    prefix: String,
    seen: u64,
}

impl Watch for FileWatch {
    fn next(&mut self) -> StoreFuture<'_, Entry> {
        async move {
            loop {
                if let Some(entry) = self.store.next_entry(self.prefix.clone(), self.seen).await? {
                    self.seen = entry.revision;
                    return Ok(entry);
                }
                sleep(POLL).await;
            }
        }
        .boxed()
    }
}
