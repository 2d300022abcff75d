//! The reporter stage: folds the records of a run into its result and renders results for people.

pub mod alerting;
pub mod alerts;
mod batches;
mod coverage;
mod durability;
mod findings;
mod finish;
mod fold;
pub mod hit_rate;
mod key_statistics;
mod memory_words;
mod pacing;
pub mod page;
mod read_sources;
mod render;
pub mod report_file;
mod run;
mod sections;
pub mod summary;
mod uncertainty;

pub use durability::{DurabilityTracker, ReplicationId};
pub use finish::{ResultContext, finish};
pub use fold::{Fold, NodeTotals, Totals, WaitingBatches};
pub use memory_words::{bytes, memory};
pub use render::{cell, counted, grouped, render, slots, trim_lines, wrap};
pub use run::{ReporterError, report, run};
