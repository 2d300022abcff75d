//! The Redis client: every command that keysweep sends, and the only files that name the `redis` crate.

pub mod activity;
pub mod capabilities;
mod client;
mod cluster_nodes;
mod command_stats;
mod conn;
mod connect_options;
mod connections;
pub mod counters;
pub mod dump;
mod error;
pub mod fields;
#[cfg(test)]
mod fuzz;
pub mod guard;
pub mod health;
mod info;
pub mod key_facts;
pub mod limits;
mod listing;
pub mod lock;
pub mod memory_usage;
mod multi_exec;
pub mod node;
mod parse_error;
pub mod permissions;
mod pool;
pub mod preflight;
mod rdb_string;
mod rdb_version;
pub mod replica;
pub mod replication;
mod replication_info;
mod reply;
mod reply_budget;
mod reply_size;
pub mod restore;
pub mod same_deployment;
mod scripts;
mod sentinel;
mod shards;
mod sized;
mod socket;
mod throttle;
mod topology;
pub mod ttl_assignment;
pub mod values;

pub use client::RedisClient;
pub use conn::{Batch, Conn, DedicatedConn};
pub use connect_options::{ConnectOptions, RedisLogin};
pub use connections::ConnectionUse;
pub use error::{RedisError, RedisErrorKind};
pub use listing::{
    KeySpan, KeyState, Listing, LookupKind, Page, PageState, ScanConnection, Ttl, WindowReply,
};
pub use parse_error::ParseError;
pub use rdb_string::packed_string;
pub use rdb_version::refused_version;
pub use redis::Value as Reply;
pub use socket::{Connector, Network, Socket, Tls, TlsError, TlsFiles, expect_values};
pub use throttle::Throttle;
pub use topology::{Primary, Topology};
