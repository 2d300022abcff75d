//! The queue and the store over NATS JetStream, and what else we say to NATS: events for subscribers and a
//! service for programs. The only folder that names `async_nats`.

mod access;
mod aside;
mod bucket;
mod connect;
mod imported;
pub mod layout;
mod login;
mod orders;
mod queue;
mod service;
pub mod setup;
mod store;
mod walls;

pub use access::{Login, NatsAccess};
pub use aside::Heard;
pub use bucket::Bucket;
pub use connect::{Nats, NatsError};
pub use queue::NatsQueue;
pub use service::{Answer, Request, Service, ask};
pub use store::NatsStore;
pub use walls::missing_walls;
