//! The queue and the store over NATS JetStream, and the other uses of NATS: events for subscribers and a service for
//! programs. The only folder that names `async_nats`.

mod access;
mod bucket;
mod connect;
mod core_messages;
mod imported;
pub mod layout;
pub mod limits;
mod login;
mod protections;
mod queue;
mod service;
pub mod setup;
mod signatures;
mod store;

pub use access::{NatsAuth, NatsOptions};
pub use connect::{Nats, NatsError};
pub use protections::missing_protections;
pub use queue::NatsQueue;
pub use service::{Request, Service, ServiceReply, ask};
pub use store::NatsStore;
