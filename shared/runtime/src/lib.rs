//! What every stage runs in: its context, the worker loop, heartbeats, caches, failpoints. It knows no broker: queue and
//! store are traits.

pub mod activity;
pub mod announce;
pub mod collect;
pub mod context;
pub mod failpoint;
pub mod heartbeat;
pub mod in_hand;
pub mod limits;
pub mod redis_clients;
pub mod spec_cache;
pub mod worker;
