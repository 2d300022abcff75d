//! What all stages of keysweep share: ids, keys, wire messages, limits, configuration, the queue and
//! the store they talk through, and the access to Redis. It knows no stage.

pub mod activity;
pub mod alerts;
pub mod at_once;
pub mod audit;
pub mod backup;
pub mod cluster;
pub mod config;
pub mod crash;
pub mod dead;
pub mod deployments;
pub mod env;
pub mod events;
mod exactness;
pub mod files;
#[cfg(test)]
mod fuzz;
pub mod glob;
pub mod history;
#[cfg(test)]
#[path = "../tests/hostile/mod.rs"]
mod hostile;
pub mod identity;
pub mod ids;
pub mod invariants;
pub mod key;
pub mod limits;
pub mod memory;
pub mod messages;
pub mod metrics;
pub mod nats;
pub mod outcome;
pub mod pace;
pub mod prefix;
pub mod printable;
pub mod pulse;
pub mod queue;
pub mod range;
pub mod records;
pub mod result;
pub mod samples;
pub mod sampling;
pub mod scan_end;
pub mod selection;
pub mod servers;
pub mod signing;
pub mod sketch;
pub mod slot;
pub mod specs;
pub mod store;
pub mod supervise;
pub mod task_notes;
pub mod telemetry;
pub mod time;
pub mod web;
pub mod wire;
pub mod worker;
