//! Errors of writing and reading backups.

use std::io;

use keysweep_files::FileError;
use thiserror::Error;

/// See the module.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file or directory could not be used.
    #[error("failed to {what} `{path}`: {source}")]
    File {
        /// The operation.
        what: &'static str,
        /// The file or directory.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file was not written.
    #[error(transparent)]
    Written(#[from] FileError),
    /// A file is larger than any that keysweep writes.
    #[error("`{path}` has {bytes} bytes, more than any backup file")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// A NATS bucket could not be used.
    #[error("failed to {what} bucket `{bucket}` of NATS: {why}")]
    Bucket {
        /// The operation.
        what: &'static str,
        /// The bucket.
        bucket: String,
        /// The error of NATS.
        why: String,
    },
    /// The run requires a backup, and this worker has no target for it.
    #[error(
        "the run wants what it deletes to be saved, and this worker has no place for it; start it with `--backup`, or with \
         the job file of job `{0}`"
    )]
    NoTarget(String),
}

impl BackupError {
    /// Whether only a change of settings or permissions can resolve it.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        let setting = |kind| {
            matches!(
                kind,
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::AlreadyExists
                    | io::ErrorKind::ReadOnlyFilesystem
            )
        };
        match self {
            Self::File { source, .. } => setting(source.kind()),
            Self::Written(e) => e.kind().is_none_or(setting),
            Self::NoTarget(_) => true,
            Self::TooLarge { .. } | Self::Bucket { .. } => false,
        }
    }
}
