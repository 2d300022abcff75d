//! What can be wrong with a file.

use crate::origin::{Format, VERSIONS};

/// A fault of a file, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {fault}")]
pub struct RdbError {
    /// Bytes before the item that is wrong.
    pub offset: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not begin like an RDB file.
    #[error("this is no RDB file: it begins neither with `REDIS` nor with `VALKEY` and a version")]
    NotRdb,
    /// Its version is not known.
    #[error("{format} files of version {version} are not read: those of {VERSIONS} are")]
    Version {
        /// The words it begins with.
        format: Format,
        /// The version that it states.
        version: u16,
    },
    /// It ends before its end mark.
    #[error("the file ends here, before its end mark: it is not complete")]
    Truncated,
    /// Its bytes are not those that were written.
    #[error("the file is damaged: its checksum is `{stated:016x}`, that of its contents `{computed:016x}`")]
    Checksum {
        /// What the file states.
        stated: u64,
        /// What its contents give.
        computed: u64,
    },
    /// Bytes follow its end.
    #[error("more bytes follow the end of the file, such as the commands of an append-only file")]
    Trailing,
    /// A byte that stands for no type of value and no operation that is known.
    #[error(
        "`{0}` is no type of value and no operation that is known; the file may be damaged, or of a newer server"
    )]
    Unknown(u8),
    /// A type or an operation that only pre-releases wrote.
    #[error("`{0}` is a type or an operation that only pre-releases of servers wrote, which is not read")]
    PreRelease(u8),
    /// A byte that begins no length.
    #[error("`{0:#04x}` begins no length")]
    Length(u8),
    /// An encoding of strings that does not exist.
    #[error("there is no encoding `{0}` of strings")]
    Encoding(u8),
    /// A compressed string that does not give its length.
    #[error("a compressed string is damaged")]
    Compressed,
    /// A name that is too long.
    #[error("the name of a key has {0} bytes; at most {max} are read", max = crate::limits::KEY_BYTES_MAX)]
    KeyTooLong(u64),
    /// A hash slot that does not exist.
    #[error("there is no hash slot {0}")]
    Slot(u64),
    /// A database that does not exist.
    #[error("there is no database {0}")]
    Database(u64),
    /// A part of a value whose form is not known.
    #[error("a part of a value has the unknown form `{0}`")]
    Form(u64),
    /// Values nest deeper than any does.
    #[error("a value is nested too deeply")]
    Nesting,
}
