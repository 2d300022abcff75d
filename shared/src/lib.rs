//! The basis of all stages of keysweep: ids, keys, wire messages, limits, configuration, queue and store, and the
//! access to Redis. It does not depend on any stage.

pub mod activity;
pub mod alerts;
pub mod audit;
pub mod backup;
pub mod cluster;
pub mod collect;
pub mod concurrency;
pub mod config;
pub mod context;
pub mod counter_snapshot;
pub mod counters;
pub mod dead_letter;
pub mod events;
mod exactness;
pub mod failpoint;
pub mod files;
#[cfg(test)]
mod fuzz;
pub mod glob;
pub mod heartbeat;
pub mod history;
#[cfg(test)]
#[path = "../tests/hostile/mod.rs"]
mod hostile;
pub mod http;
pub mod ids;
pub mod invariants;
pub mod key;
pub mod key_template;
pub mod limits;
pub mod memory;
pub mod messages;
pub mod metrics;
pub mod nats;
pub mod object_store;
pub mod outcome;
pub mod pacing;
pub mod prefix;
pub mod printable;
pub mod queue;
pub mod range;
pub mod records;
pub mod redis_clients;
pub mod result;
pub mod scan_end;
pub mod selection;
pub mod servers;
pub mod signing;
pub mod sketch;
pub mod slot;
pub mod spec_cache;
pub mod store;
pub mod supervision;
pub mod task_notes;
pub mod telemetry;
pub mod time;
pub mod wire;
pub mod worker;
