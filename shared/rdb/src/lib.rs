//! The keys of an RDB file, the format in which Redis and Valkey save their databases: their names, types, expiry times,
//! idle times, access counters and numbers of elements. Values are skipped, and never held. Pure: bytes are fed to a
//! [`Parser`] as they arrive, in pieces of any size, and it needs no more memory than the longest name of a key.
//!
//! The bytes may be damaged or forged. A type or an operation that is not known exactly ends the reading with an error:
//! what follows it could only be guessed. The checksum is verified, and the numbers of keys that a file states are compared
//! with those that were found.
//!
//! What it does not do: read values, or the memory that they took in the server. The number of bytes in the file is not
//! that memory.

mod checksum;
mod counts;
mod entry;
mod error;
mod kind;
mod length;
pub mod limits;
mod lzf;
mod origin;
mod packed;
mod parser;
mod shape;
mod text;
mod walk;
mod window;

pub use checksum::checksum;
pub use counts::Difference;
pub use entry::{Entry, Summary};
pub use error::{Fault, RdbError};
pub use kind::{Kind, ModuleType};
pub use origin::{Format, Origin};
pub use parser::Parser;

#[cfg(test)]
mod tests;
