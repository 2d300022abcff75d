//! The reporter stage: folds the records of a run into its result, and shows results to people.

pub mod alerts;
mod batches;
mod coverage;
pub mod findings;
mod finish;
mod fold;
pub mod hit_rate;
mod holding;
mod known;
mod learned;
mod memory_words;
pub mod notify;
mod pacing;
pub mod page;
mod render;
pub mod report_file;
mod run;
mod sources;
pub mod summary;

pub use finish::{Around, finish};
pub use fold::{Fold, NodeTotals, Totals, Waiting};
pub use holding::{History, Holding};
pub use memory_words::{bytes, memory};
pub use render::{cell, counted, grouped, render, slots, tidy, wrap};
pub use run::{ReporterError, report, run};
