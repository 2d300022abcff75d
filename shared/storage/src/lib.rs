//! The queue and the store that stages communicate through, and the records in them. Traits, and the implementations
//! in memory; `keysweep-nats` has those over JetStream, `keysweep-state` the store in a SQLite file.

pub mod alerts;
pub mod audit;
pub mod counter_snapshot;
pub mod dead_letter;
pub mod decisions;
pub mod events;
pub mod history;
pub mod latest_count;
pub mod limits;
pub mod object_store;
pub mod queue;
pub mod records;
pub mod store;
pub mod task_notes;
pub mod ttl_advice;
pub mod worker_notes;
