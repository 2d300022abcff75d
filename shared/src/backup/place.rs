//! Where backups lie. What is stored is whole and durable when `put` returns, so whoever waits for it may destroy the
//! original.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::directory::Directory;
use super::error::BackupError;
use super::name::FileName;

/// A place for backups. Clones are the same place.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory of this machine.
    #[expect(private_interfaces, reason = "made by `Place::directory` alone")]
    Directory(Arc<Directory>),
}

/// What lies at a place.
#[derive(Debug, Default)]
pub struct Listed {
    /// The files, in no order.
    pub files: Vec<FileName>,
    /// Files that were being written when their writer ended: nothing was deleted on their account.
    pub unfinished: u64,
    /// Names of what is not ours.
    pub foreign: Vec<String>,
}

impl Place {
    /// The directory at `path`.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(Arc::new(Directory { path: path.into() }))
    }

    /// Tries whether something can be stored there; makes the place if it is missing.
    ///
    /// # Errors
    /// When nothing can.
    pub async fn check(&self) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => on_disk(directory, Directory::check).await,
        }
    }

    /// Stores `bytes` under `name`: durably, if it is to be, when this returns.
    ///
    /// # Errors
    /// When they could not be stored. Nothing, or all, lies there under that name then.
    pub async fn put(&self, name: FileName, bytes: Arc<[u8]>, durable: bool) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => {
                on_disk(directory, move |directory| directory.put(&name, &bytes, durable)).await
            }
        }
    }

    /// What lies there.
    ///
    /// # Errors
    /// When that cannot be read.
    pub async fn list(&self) -> Result<Listed, BackupError> {
        match self {
            Self::Directory(directory) => on_disk(directory, Directory::list).await,
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When they cannot be read, or are too many.
    pub async fn get(&self, name: FileName) -> Result<Vec<u8>, BackupError> {
        match self {
            Self::Directory(directory) => on_disk(directory, move |directory| directory.get(&name)).await,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.path.display().fmt(f),
        }
    }
}

/// A disk may be slow: it keeps no other work of this process from going on.
async fn on_disk<T: Send + 'static>(
    directory: &Arc<Directory>,
    work: impl FnOnce(&Directory) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let (here, path) = (Arc::clone(directory), directory.path.display().to_string());
    let done = tokio::task::spawn_blocking(move || work(&here)).await;
    let stopped = |e: tokio::task::JoinError| BackupError::File { what: "use", path, source: e.into() };
    done.map_err(stopped)?
}

/// The places that a process knows, by job.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// Those of these jobs.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = (String, Place)>) -> Self {
        Self(places.into_iter().collect())
    }

    /// The place of `job`; of the only one that is known, where a worker does not know the job: it was given one for
    /// whatever comes.
    #[must_use]
    pub fn of(&self, job: &str) -> Option<&Place> {
        let only = || self.0.values().next().filter(|_| self.0.len() == 1);
        self.0.get(job).or_else(only)
    }
}
