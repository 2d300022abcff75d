//! What all stages of keysweep share: ids, keys, wire messages, limits, configuration, the queue and
//! the store they talk through, and the access to Redis. It knows no stage.

pub mod activity;
pub mod audit;
pub mod cluster;
pub mod config;
pub mod crash;
pub mod dead;
pub mod deployments;
pub mod env;
pub mod events;
pub mod glob;
pub mod history;
pub mod identity;
pub mod ids;
pub mod invariants;
pub mod key;
pub mod limits;
pub mod messages;
pub mod metrics;
pub mod nats;
pub mod outcome;
pub mod queue;
pub mod range;
pub mod records;
pub mod result;
pub mod servers;
pub mod slot;
pub mod specs;
pub mod store;
pub mod supervise;
pub mod time;
pub mod wire;
pub mod worker;
