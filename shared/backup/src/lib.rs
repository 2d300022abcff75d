//! Backups of keys before they are deleted, for a later restore: the encoding of files (`format.rs`), their names
//! (`name.rs`), and where they are stored (`target.rs`). The reaper writes them; `keysweep restore` reads them.

mod directory;
mod error;
mod format;
mod frame;
pub mod limits;
mod name;
mod target;

pub use error::BackupError;
pub use format::{BackupEntry, Damage, Decoded, Header, Recorded, Saved, decode, encode_outcomes};
pub use name::{FileKind, FileName};
pub use target::{BackupListing, BackupTarget, BackupTargets};
