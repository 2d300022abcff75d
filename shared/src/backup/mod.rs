//! What is saved of keys before they are deleted, so that they can be put back: the files as bytes (`format.rs`), their
//! names (`name.rs`), and where they lie (`place.rs`). Who saves is the reaper; who puts back is `keysweep restore`.

mod directory;
mod error;
mod format;
mod frame;
mod name;
mod rdb_string;
mod target;
mod version;

pub use error::BackupError;
pub use format::{BackupEntry, Damage, Decoded, Header, Recorded, Saved, decode, encode_outcomes};
pub use name::{FileKind, FileName};
pub use rdb_string::packed_string;
pub use target::{BackupListing, BackupTarget, BackupTargets};
pub use version::refused_version;
