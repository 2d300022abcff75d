//! The scanner stage: lists the keys of a scan task, reads their TTLs, selects candidates and publishes them to the
//! reapers in batches. It writes nothing to Redis.

mod batching;
mod by_rule;
mod classify;
mod clean_node;
mod fields;
mod file_tally;
mod fingerprints;
mod kept_keys;
pub mod limits;
mod memory_sampling;
pub mod name_sample;
mod namespaces;
mod rule_window;
mod ruled_keys;
mod run;
pub mod sample;
pub mod sample_whole;
mod slot_tally;
mod source;
mod statistics;
mod tally;
mod task_scan;
mod validate;
pub mod walk;

pub use classify::{Classification, Classifier, KeepReason, Treatment};
pub use file_tally::{FileCounts, FileTally};
pub use ruled_keys::{RuledKey, RuledKeys};
pub use run::Scanner;
pub use source::IDLE_TIMES;
