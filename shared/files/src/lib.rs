//! The only code that writes files. `clippy.toml` prevents other code from creating, renaming or truncating any.
//!
//! A file is written under a new, random name in a folder with an open handle, synced, and renamed: a reader finds the
//! complete file or none, and no existing file is opened or truncated. Symbolic links are followed only if they belong
//! to root or to the user of this process, so another user of the machine cannot redirect a write. The files of
//! [`Folder::private`] are in a folder that belongs to this user and that others cannot change. New files are readable
//! only by their owner (0600, folders 0700), because they may contain names of keys.
//!
//! All of it blocks the thread. Reading files of other origin is elsewhere.

mod error;
mod folder;
mod read;
mod replace;
mod walk;

pub use error::FileError;
pub use folder::{Folder, UNFINISHED};
pub use read::read_text;
pub use replace::{create, publish, replace};

/// The user id of this process.
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests;
