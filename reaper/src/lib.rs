//! The reaper stage: acts on candidates, after checking in the same atomic step that they still qualify, and records
//! the outcome of each. It is the only stage that writes to Redis.

mod attempt;
mod backup_writer;
mod clock;
mod fingerprints;
mod freed_memory;
mod grants;
mod ledger_outcomes;
pub mod limits;
mod node_attempt;
mod node_guard;
mod node_session;
mod receipt;
mod run;
mod skipped_batches;
mod throttle;
mod validate_batch;
mod work;

pub use run::Reaper;
