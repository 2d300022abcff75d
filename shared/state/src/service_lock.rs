//! One service per state file: an advisory lock on a file beside it, which the system frees when the process ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use keysweep_files::Folder;

use crate::error::StateError;
use crate::lock_holder;

/// The name of the file in the folder of the state file.
const LOCK_NAME: &str = "serve.lock";

/// The right to be the service of a state file, until it is dropped.
#[derive(Debug)]
pub struct ServiceLock {
    _file: File,
}

impl ServiceLock {
    /// Takes the lock for the state file in `folder`, which must belong to the current user. Blocks for as long as the
    /// disk does.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be used.
    pub fn take(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join(LOCK_NAME);
        let file = Folder::private(folder)?.open(LOCK_NAME)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let holder =
                    lock_holder::of(&[path]).unwrap_or_else(|| "another `keysweep serve`".to_owned());
                Err(StateError::Served { path: folder.to_owned(), holder })
            }
            Err(TryLockError::Error(e)) => {
                Err(StateError::Folder(format!("failed to lock `{}`: {e}", path.display())))
            }
        }
    }
}
