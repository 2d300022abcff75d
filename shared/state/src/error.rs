//! Why the state file cannot be used, with the way out.

use std::path::{Path, PathBuf};

use keysweep_files::FileError;
use keysweep_storage::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use thiserror::Error;

use crate::lock_holder;

/// Each contains the path and a remedy.
#[derive(Clone, Debug, Error)]
pub enum StateError {
    /// The folder, or a file in it, cannot be used.
    #[error("{0}; name another folder with `--state-dir`, or keep nothing with `--state-dir none`")]
    Folder(String),
    /// A service uses it.
    #[error("{holder} uses the state file in `{}`: stop it, or name another folder with `--state-dir`", path.display())]
    Served {
        /// The folder.
        path: PathBuf,
        /// The process.
        holder: String,
    },
    /// There is no file to read.
    #[error("there is no state file `{}`: no run was recorded there; `--state-dir` names another folder", .0.display())]
    Missing(PathBuf),
    /// It is not a file of keysweep.
    #[error(
        "`{}` is not a state file of keysweep ({detail}): move it away, or name another folder with `--state-dir`",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How it differs.
        detail: String,
    },
    /// A later version has written it.
    #[error(
        "`{}` was written by a later version of keysweep (schema {found}, this one knows {known}): use that version, \
         or name another folder with `--state-dir`",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// Its content is damaged.
    #[error(
        "`{}` is damaged ({detail}): move it away, together with its `-wal` file; `sqlite3 FILE .recover` saves what \
         can be read",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        detail: String,
    },
    /// Another process does not release it.
    #[error("`{}` was locked for {waited_s} s, by {holder}: end that process, or wait for it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// How long we waited, in seconds.
        waited_s: u64,
        /// The process, as far as it is known.
        holder: String,
    },
    /// It may not be written.
    #[error(
        "`{}` cannot be written ({detail}): make it writable, or name another folder with `--state-dir`",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        detail: String,
    },
    /// The disk is full.
    #[error("no space is left for `{}`: free some, or name a folder on another disk with `--state-dir`", .0.display())]
    Full(PathBuf),
    /// The disk fails.
    #[error("`{}` cannot be used ({detail}): name a folder on another disk with `--state-dir`", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        detail: String,
    },
    /// Anything else.
    #[error("`{}`: {detail}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What happened.
        detail: String,
    },
}

impl StateError {
    /// Whether another setting is the remedy, rather than another try.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        !matches!(self, Self::Locked { .. } | Self::Full(_) | Self::Disk { .. } | Self::Other { .. })
    }

    /// The meaning of an error of SQLite about the file at `path`.
    pub(crate) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, detail) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path, detail },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, detail },
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => {
                let holder =
                    lock_holder::of_state_file(&path).unwrap_or_else(|| "another process".to_owned());
                Self::Locked { path, waited_s: crate::limits::LOCK_WAIT.as_secs(), holder }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { path, detail }
            }
            Some(ErrorCode::DiskFull) => Self::Full(path),
            // The memory that the processes share is a file, too.
            _ if extended_code(error) == Some(SQLITE_IOERR_SHMSIZE) => Self::Full(path),
            Some(ErrorCode::SystemIoFailure) => Self::Disk { path, detail },
            _ => Self::Other { path, detail },
        }
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

impl From<FileError> for StateError {
    fn from(e: FileError) -> Self {
        Self::Folder(e.to_string())
    }
}

impl From<StateError> for StoreError {
    fn from(e: StateError) -> Self {
        Self(e.to_string())
    }
}
