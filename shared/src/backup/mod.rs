//! What is saved of keys before they are deleted, so that they can be put back: the files as bytes (`format.rs`), their
//! names (`name.rs`), and where they lie (`place.rs`). Who saves is the reaper; who puts back is `keysweep restore`.

mod directory;
mod error;
mod format;
mod frame;
mod name;
mod packed;
mod place;
mod version;

pub use error::BackupError;
pub use format::{Damage, Decoded, Entry, Header, Recorded, Saved, decode, encode_outcomes};
pub use name::{FileKind, FileName};
pub use packed::packed_string;
pub use place::{Listed, Place, Places};
pub use version::refused_version;
