//! Where backups are stored. A file is complete and durable when `put` returns, so that the caller may delete the
//! original.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use keysweep_model::messages::BackupPolicy;
use keysweep_storage::object_store::{ObjectBucket, ObjectStore};

use super::directory::Directory;
use super::error::BackupError;
use super::name::FileName;
use crate::limits::BACKUP_READ_MAX;

/// A target for backups. Clones are the same target.
#[derive(Clone, Debug)]
pub enum BackupTarget {
    /// A directory of this machine.
    #[expect(private_interfaces, reason = "only created by `BackupTarget::directory`")]
    Directory(Arc<Directory>),
    /// A bucket of an object store.
    Bucket(Arc<dyn ObjectBucket>),
}

/// The content of a target.
#[derive(Debug, Default)]
pub struct BackupListing {
    /// The files, in no particular order.
    pub files: Vec<FileName>,
    /// Files whose writer stopped before it finished; no key was deleted on the strength of them.
    pub unfinished: u64,
    /// Names of other files.
    pub foreign: Vec<String>,
}

impl BackupTarget {
    /// The directory at `path`.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(Arc::new(Directory { path: path.into() }))
    }

    /// The bucket `name` of an object store.
    #[must_use]
    pub fn bucket(store: &dyn ObjectStore, name: &str) -> Self {
        Self::Bucket(store.bucket(name))
    }

    /// Checks that files can be stored; creates the target if it is missing.
    ///
    /// # Errors
    /// If they cannot.
    pub async fn check(&self) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => on_disk(directory, Directory::check).await,
            Self::Bucket(bucket) => bucket.make().await.map_err(failed(&**bucket, "make")),
        }
    }

    /// Stores `bytes` under `name`; if `durable`, they are durable when this returns.
    ///
    /// # Errors
    /// If they could not be stored. Then the file is either missing or complete.
    pub async fn put(&self, name: FileName, bytes: Arc<[u8]>, durable: bool) -> Result<(), BackupError> {
        match self {
            Self::Directory(directory) => {
                on_disk(directory, move |directory| directory.put(&name, &bytes, durable)).await
            }
            Self::Bucket(bucket) => {
                let put = bucket.put(&name.to_string(), &bytes).await;
                put.map_err(failed(&**bucket, "store in"))
            }
        }
    }

    /// Lists the files.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn list(&self) -> Result<BackupListing, BackupError> {
        match self {
            Self::Directory(directory) => on_disk(directory, Directory::list).await,
            Self::Bucket(bucket) => {
                let mut listed = BackupListing::default();
                for name in bucket.list().await.map_err(failed(&**bucket, "list"))? {
                    match name.parse() {
                        Ok(name) => listed.files.push(name),
                        Err(_) => listed.foreign.push(name),
                    }
                }
                Ok(listed)
            }
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// If they cannot be read, or are too many.
    pub async fn get(&self, name: FileName) -> Result<Vec<u8>, BackupError> {
        match self {
            Self::Directory(directory) => on_disk(directory, move |directory| directory.get(&name)).await,
            Self::Bucket(bucket) => {
                let got = bucket.get(&name.to_string(), BACKUP_READ_MAX).await;
                got.map_err(failed(&**bucket, "read"))
            }
        }
    }
}

impl fmt::Display for BackupTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.path.display().fmt(f),
            Self::Bucket(bucket) => write!(f, "nats://{}", bucket.name()),
        }
    }
}

/// Runs `work` on the blocking pool: a disk may be slow.
async fn on_disk<T: Send + 'static>(
    directory: &Arc<Directory>,
    work: impl FnOnce(&Directory) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let (here, path) = (Arc::clone(directory), directory.path.display().to_string());
    let done = tokio::task::spawn_blocking(move || work(&here)).await;
    let stopped = |e: tokio::task::JoinError| BackupError::File { what: "use", path, source: e.into() };
    done.map_err(stopped)?
}

fn failed(bucket: &dyn ObjectBucket, what: &'static str) -> impl Fn(String) -> BackupError {
    move |why| BackupError::Bucket { what, bucket: bucket.name().to_owned(), why }
}

/// The backup targets of this process.
#[derive(Default)]
pub struct BackupTargets {
    jobs: BTreeMap<String, BackupTarget>,
    buckets: Option<OpenBuckets>,
}

/// The buckets that were used: each is opened once.
struct OpenBuckets {
    store: Arc<dyn ObjectStore>,
    opened: Mutex<BTreeMap<String, BackupTarget>>,
}

impl BackupTargets {
    /// The targets of these jobs.
    #[must_use]
    pub fn new(
        jobs: impl IntoIterator<Item = (String, BackupTarget)>,
        buckets: Option<Arc<dyn ObjectStore>>,
    ) -> Self {
        Self {
            jobs: jobs.into_iter().collect(),
            buckets: buckets.map(|store| OpenBuckets { store, opened: Mutex::default() }),
        }
    }

    /// The target for the `policy` of `job`. A bucket is the same for all processes. A directory is the one in the
    /// settings of this process for the job, or, if they do not contain the job, its only directory: then it was
    /// configured for all jobs.
    #[must_use]
    pub fn of(&self, job: &str, policy: &BackupPolicy) -> Option<BackupTarget> {
        if let Some((name, buckets)) = policy.target.strip_prefix("nats://").zip(self.buckets.as_ref()) {
            return Some(buckets.open(name));
        }
        let only = || self.jobs.values().next().filter(|_| self.jobs.len() == 1);
        self.jobs.get(job).or_else(only).cloned()
    }

    /// Checks all of them.
    ///
    /// # Errors
    /// The first one where nothing can be stored.
    pub async fn check(&self) -> Result<(), BackupError> {
        for place in self.jobs.values() {
            place.check().await?;
        }
        Ok(())
    }
}

impl OpenBuckets {
    fn open(&self, name: &str) -> BackupTarget {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.entry(name.to_owned()).or_insert_with(|| BackupTarget::bucket(&*self.store, name)).clone()
    }
}
