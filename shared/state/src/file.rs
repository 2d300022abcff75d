//! The open state file: its connections, and how they are used from async code.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Result};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::commit::Committer;
use crate::entries;
use crate::error::StateError;
use crate::limits::OPERATION_TIMEOUT;
use crate::open;
use crate::store::StateStore;

/// The name of the file in its folder.
pub const FILE_NAME: &str = "keysweep.db";

/// An open state file. Clones share it.
///
/// A write is durable when the call returns. All methods that are not `async` block the thread.
#[derive(Clone)]
pub struct StateFile(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// Reads do not wait for writes.
    reader: Mutex<Connection>,
    /// `None` if the file was opened for reading.
    writer: Option<Committer>,
    /// Wakes watches of this process; the number of writes means nothing.
    writes: watch::Sender<u64>,
}

impl StateFile {
    /// Opens the file at `path` for reading and writing. Creates the file if it is missing, and its folder, which must
    /// belong to the current user. Blocks; waits up to [`crate::limits::LOCK_WAIT`] for other processes.
    ///
    /// # Errors
    /// When it cannot be created, read or written, is damaged, or belongs to another program or a later version.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let writer = open::writer(path)?;
        Ok(Self::new(path, open::reader(path)?, Some(Committer::new(writer))))
    }

    /// Opens the file at `path` for reading. Blocks.
    ///
    /// # Errors
    /// When it does not exist, cannot be read, or belongs to another program or a later version.
    pub fn open_read_only(path: &Path) -> Result<Self, StateError> {
        Ok(Self::new(path, open::reader(path)?, None))
    }

    /// [`StateFile::open`] for async code.
    ///
    /// # Errors
    /// As for that.
    pub async fn opened(path: PathBuf) -> Result<Self, StateError> {
        off_the_runtime(path, Self::open).await
    }

    /// [`StateFile::open_read_only`] for async code.
    ///
    /// # Errors
    /// As for that.
    pub async fn opened_read_only(path: PathBuf) -> Result<Self, StateError> {
        off_the_runtime(path, Self::open_read_only).await
    }

    fn new(path: &Path, reader: Connection, writer: Option<Committer>) -> Self {
        let (path, reader, writes) = (path.to_owned(), Mutex::new(reader), watch::Sender::default());
        Self(Arc::new(Shared { path, reader, writer, writes }))
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The entries of one `scope`: those that are distinguished by the names of jobs and deployments in one job file, or
    /// the runs against one address that no job file names.
    #[must_use]
    pub fn store(&self, scope: &str) -> StateStore {
        StateStore::new(self.clone(), Some(scope.to_owned()))
    }

    /// The entries of all scopes, for reading.
    #[must_use]
    pub fn all(&self) -> StateStore {
        StateStore::new(self.clone(), None)
    }

    /// The scope of the entry `key`; `None` if there is no such entry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn scope_of(&self, key: &str) -> Result<Option<String>, StateError> {
        let key = key.to_owned();
        self.read(move |conn| entries::scope_of(conn, &key)).await
    }

    /// Runs `what` in a transaction, together with other writes. Returns when it is durable.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let Some(writer) = &self.0.writer else {
            let detail = "it was opened for reading".to_owned();
            return Err(StateError::ReadOnly { path: self.0.path.clone(), detail });
        };
        let (result, shared) = (writer.queue(what), Arc::clone(&self.0));
        let written = self.blocking(move || {
            if let Some(writer) = &shared.writer {
                writer.commit(&shared.path);
            }
            // Another thread may have committed it; then its result is there, too.
            result.blocking_recv()
        });
        let written = written.await?.map_err(|e| self.failed(&e.to_string()))?;
        self.0.writes.send_modify(|writes| *writes = writes.wrapping_add(1));
        written
    }

    /// Runs `what`, which only reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let shared = Arc::clone(&self.0);
        let read = move || what(&shared.reader.lock().unwrap_or_else(PoisonError::into_inner));
        self.blocking(read).await?.map_err(|e| StateError::of(&self.0.path, &e))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StateError> {
        match timeout(OPERATION_TIMEOUT, spawn_blocking(what)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(e)) => Err(self.failed(&e.to_string())),
            Err(_) => Err(self.failed(&format!("it took longer than {} s", OPERATION_TIMEOUT.as_secs()))),
        }
    }

    pub(crate) fn failed(&self, detail: &str) -> StateError {
        StateError::Other { path: self.0.path.clone(), detail: detail.to_owned() }
    }

    /// Changes with each write of this process.
    pub(crate) fn writes(&self) -> watch::Receiver<u64> {
        self.0.writes.subscribe()
    }
}

/// What `open` makes of `path`, on a thread that may block.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    path: PathBuf,
    open: fn(&Path) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let opened = path.clone();
    let done = spawn_blocking(move || open(&opened)).await;
    done.unwrap_or_else(|e| Err(StateError::Other { path, detail: e.to_string() }))
}
