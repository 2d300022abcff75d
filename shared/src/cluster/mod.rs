//! Everything that is said to Redis, and the only files that name the `redis` crate.

mod access;
pub mod activity;
mod answer_size;
mod command_stats;
mod conn;
pub mod counters;
mod deployment;
mod fault;
pub mod fields;
#[cfg(test)]
mod fuzz;
pub mod guard;
pub mod health;
mod info;
mod listing;
pub mod lock;
pub mod node;
mod nodes_text;
pub mod ours;
mod parse_error;
mod pool;
pub mod preflight;
pub mod replica;
pub mod replication;
pub mod restore;
pub mod rights;
pub mod save;
mod scripts;
mod sentinel;
mod shards;
mod sized;
mod socket;
mod standing;
mod text;
mod topology;
pub mod way;
pub mod weigh;

pub use access::{Access, Login};
pub use conn::{Batch, Conn};
pub use deployment::Deployment;
pub use fault::{Fault, FaultKind};
pub use listing::{Answers, Ask, Lister, Listing, Page, PageState, Place, Seen, Ttl};
pub use parse_error::ParseError;
pub use redis::Value as Reply;
pub use socket::{Tls, TlsError, TlsFiles, expect_values};
pub use topology::{Primary, Topology};
