//! The scanner stage: lists the keys of a scan task, looks at their TTLs, selects candidates, and hands
//! them to the reapers in batches. It writes nothing to Redis.

mod batching;
mod fields;
mod fingerprints;
mod kept;
pub mod names;
mod run;
pub mod sample;
pub mod sample_whole;
mod select;
mod settle;
mod skip;
mod source;
mod statistics;
mod tally;
pub mod walk;
mod weighing;

pub use run::Scanner;
pub use select::{Fate, Selector, Stays, Verdict};
pub use source::IDLE_TIMES;
