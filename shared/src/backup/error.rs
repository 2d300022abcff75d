//! What keeps a backup from being written or read.

use std::io;

use thiserror::Error;

use crate::files::FileError;

/// See the module.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file or directory could not be used.
    #[error("failed to {what} `{path}`: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file was not written.
    #[error(transparent)]
    Written(#[from] FileError),
    /// A file is larger than any that we write.
    #[error("`{path}` has {bytes} bytes, more than a backup file ever has")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// A bucket of NATS could not be used.
    #[error("failed to {what} bucket `{bucket}` of NATS: {why}")]
    Bucket {
        /// What was tried.
        what: &'static str,
        /// The bucket.
        bucket: String,
        /// What NATS said.
        why: String,
    },
    /// The run wants a backup, and this worker has no place for one.
    #[error(
        "the run wants what it deletes to be saved, and this worker has no place for it; start it with `--backup`, or with \
         the job file of job `{0}`"
    )]
    NoPlace(String),
}

impl BackupError {
    /// Whether nothing but settings or rights will change it.
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
            Self::NoPlace(_) => true,
            Self::TooLarge { .. } | Self::Bucket { .. } => false,
        }
    }
}
