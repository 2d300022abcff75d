//! The reporter stage: folds the records of a run into its result and renders results for people.

pub mod alerting;
pub mod alerts;
mod batches;
mod coverage;
mod durability;
mod findings;
mod finish;
mod fold;
mod format;
pub mod hit_rate;
mod key_statistics;
pub mod limits;
mod namespaces;
mod pacing;
pub mod printer;
mod read_sources;
pub mod report_file;
mod rule_examples;
mod run;
mod sections;
mod so_far;
pub mod summary;
pub mod view;

pub use durability::{DurabilityTracker, NodeReplicationId};
pub use finish::{ResultContext, finish};
pub use fold::{Exceeded, Fold, NodeTotals, Totals, WaitingBatches};
pub use format::{
    attempt, bytes, counted, duration, first_upper, grouped, memory, moment, share_text, short_span, slots,
    span,
};
pub use namespaces::{KeyNamespaces, namespaces};
pub use pacing::pacing;
pub use printer::terminal::wrap;
pub use rule_examples::rule_examples;
pub use run::{ReporterError, record_end, report, run};
