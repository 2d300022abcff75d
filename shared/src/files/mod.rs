//! The one place that writes files. `clippy.toml` keeps other code from making, renaming or truncating any.
//!
//! A file is written under a new, random name in a folder that is held open by a handle, synced, and renamed: a reader
//! finds the whole file or none, and nothing that lay there before is opened or truncated. Symbolic links are followed
//! only if they belong to root or to the user of this process, so another user of the machine cannot direct a write
//! elsewhere. The files of [`Folder::private`] lie in a folder that belongs to us and that others cannot change. What
//! is made here is readable by its owner alone (0600, folders 0700), because it may hold names of keys.
//!
//! All of it blocks the thread. Reading files that others have written is not here.

mod error;
mod folder;
mod read;
mod replace;
mod walk;

pub use error::FileError;
pub use folder::{Folder, UNFINISHED};
pub use read::read_text;
pub use replace::replace;

/// The user of this process, by number: whose files and folders are our own.
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests;
