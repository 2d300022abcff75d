//! Why a file was not written.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// See the module. Each names the place, and the way out where there is one.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system refused.
    #[error("failed to {what} `{}`: {source}", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder or file of another user.
    #[error(
        "`{}` belongs to user {owner}, and this process runs as user {user}: name a place that is not there yet, which \
         is then made for this user alone",
        path.display()
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
    /// A folder in which other users can make and rename files.
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
    /// A symbolic link that another user made.
    #[error("the symbolic link `{}` belongs to user {owner}, so it is not followed: name another place", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Something else than a plain file, where there should be one.
    #[error("`{}` is no plain file: name another place", path.display())]
    Kind {
        /// What it is instead.
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

    /// What the system said, if it was the system that refused.
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
