//! One service per state file: an advisory lock on a file beside it, which the system frees when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::StateError;

/// The name of the file in the folder of the state file.
const LOCK_NAME: &str = "serve.lock";

/// Bytes of a process id that are read.
const PID_BYTES_MAX: u64 = 20;

/// The right to be the service of a state file, until it is dropped.
#[derive(Debug)]
pub struct ServiceLock {
    _file: File,
}

impl ServiceLock {
    /// Takes the lock for the state file in `folder`. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be used.
    pub fn take(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join(LOCK_NAME);
        let failed =
            |e: std::io::Error| StateError::Folder(format!("failed to lock `{}`: {e}", path.display()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Without it, the error says less.
                let _ = (&file).take(PID_BYTES_MAX).read_to_string(&mut pid);
                let holder = pid.trim().parse::<u32>().map_or_else(
                    |_| "another `keysweep serve`".to_owned(),
                    |pid| format!("`keysweep serve` of process {pid}"),
                );
                return Err(StateError::Served { path: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
