//! Errors of writing files.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// Each contains the path, and a remedy if there is one.
#[derive(Debug, Error)]
pub enum FileError {
    /// A system call failed.
    #[error("failed to {what} `{}`: {source}", path.display())]
    System {
        /// The operation.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A folder or file belongs to another user.
    #[error(
        "`{}` belongs to user {owner}, and this process runs as user {user}: name a place that is not there yet, which \
         is then made for this user alone",
        path.display()
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
    /// Other users can create and rename files in a folder.
    #[error(
        "other users may write to the folder `{}` (mode {mode:o}): run `chmod go-w` on it, or name one that is not \
         there yet",
        path.display()
    )]
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A symbolic link belongs to another user.
    #[error("the symbolic link `{}` belongs to user {owner}, so it is not followed: name another place", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// A file that must be a regular file is not.
    #[error("`{}` is no plain file: name another place", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(super) fn system(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(Errno) -> Self {
        move |e| Self::System { what, path: path.as_ref().to_owned(), source: e.into() }
    }

    pub(super) fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, path: path.as_ref().to_owned(), source }
    }

    /// The system's error, if a system call failed.
    #[must_use]
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::System { source, .. } => Some(source.kind()),
            Self::Foreign { .. } | Self::Writable { .. } | Self::Link { .. } | Self::Kind { .. } => None,
        }
    }
}

impl From<FileError> for io::Error {
    fn from(e: FileError) -> Self {
        Self::new(e.kind().unwrap_or(io::ErrorKind::PermissionDenied), e)
    }
}
