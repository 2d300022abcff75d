//! One service per state file: an advisory lock on a file beside it, which the system frees when the process ends. What
//! the service says about itself to other processes of the machine is in that file.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use keysweep_files::{Folder, read_text};
use serde::{Deserialize, Serialize};

use crate::error::StateError;
use crate::file::off_the_runtime;
use crate::limits::NOTICE_BYTES_MAX;
use crate::lock_holder;

/// The name of the file in the folder of the state file.
const LOCK_NAME: &str = "serve.lock";

/// What a service says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNotice {
    /// Where it serves HTTP; `None` if it does not.
    pub address: Option<SocketAddr>,
    /// Whether it speaks TLS there.
    pub tls: bool,
    /// The names of its jobs.
    pub jobs: Vec<String>,
}

/// A service of another process that uses a state file.
#[derive(Clone, Debug)]
pub struct RunningService {
    /// Its process, for people.
    pub process: String,
    /// What it says about itself.
    pub notice: ServiceNotice,
}

impl RunningService {
    /// The service that uses the state file in `folder`, if there is one and the system reports it.
    pub async fn find(folder: PathBuf) -> Option<Self> {
        off_the_runtime(folder, |folder| Ok(find(folder))).await.ok().flatten()
    }
}

/// The right to be the service of a state file, until it is dropped.
#[derive(Debug)]
pub struct ServiceLock {
    file: File,
}

impl ServiceLock {
    /// Takes the lock for the state file in `folder`, which must belong to the current user.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be used.
    pub async fn take(folder: PathBuf) -> Result<Self, StateError> {
        off_the_runtime(folder, take).await
    }

    /// Tells other processes about this service.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn announce(&self, notice: &ServiceNotice) -> io::Result<()> {
        let text = serde_json::to_vec(notice).map_err(io::Error::other)?;
        self.file.set_len(0)?;
        self.file.write_all_at(&text, 0)
    }
}

fn take(folder: &Path) -> Result<ServiceLock, StateError> {
    let path = folder.join(LOCK_NAME);
    let file = Folder::private(folder)?.open(LOCK_NAME)?;
    match file.try_lock() {
        Ok(()) => Ok(ServiceLock { file }),
        Err(TryLockError::WouldBlock) => {
            let holder = lock_holder::of(&[path]).unwrap_or_else(|| "another `keysweep serve`".to_owned());
            Err(StateError::Served { path: folder.to_owned(), holder })
        }
        Err(TryLockError::Error(e)) => {
            Err(StateError::Folder(format!("failed to lock `{}`: {e}", path.display())))
        }
    }
}

fn find(folder: &Path) -> Option<RunningService> {
    let path = folder.join(LOCK_NAME);
    let process = lock_holder::of(std::slice::from_ref(&path))?;
    let text = read_text(&path, NOTICE_BYTES_MAX).ok()?;
    Some(RunningService { process, notice: serde_json::from_str(&text).ok()? })
}
