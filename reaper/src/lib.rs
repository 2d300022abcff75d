//! The reaper stage: carries out what is to be done with candidates, after checking again, in the same atomic
//! step, that they still qualify, and records what became of each. The only stage that writes to Redis.

mod attempt;
mod backup_writer;
mod chunks;
mod clock;
mod fingerprints;
mod freed_memory;
mod node_session;
mod receipt;
mod run;
mod skipped_batches;
mod throttle;
mod validate_batch;

pub use run::Reaper;
