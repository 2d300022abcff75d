//! The reporter stage: folds the records of a run into its result, and shows results to people.

mod coverage;
mod finish;
mod fold;
pub mod page;
mod render;
pub mod report_file;
mod run;

pub use finish::{Around, Traffic, finish};
pub use fold::{Fold, NodeTotals, Totals};
pub use render::{cell, grouped, render, slots, tidy, wrap};
pub use run::{ReporterError, report, run};
