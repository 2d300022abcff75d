//! What is saved of keys before they are deleted, so that they can be put back: the files as bytes (`format.rs`), their
//! names (`name.rs`), and where they lie (`place.rs`). Who saves is the reaper; who puts back is `keysweep restore`.

mod directory;
mod error;
mod format;
mod frame;
mod name;
mod target;

pub use error::BackupError;
pub use format::{BackupEntry, Damage, Decoded, Header, Recorded, Saved, decode, encode_outcomes};
pub use name::{FileKind, FileName};
pub use target::{BackupListing, BackupTarget, BackupTargets};
