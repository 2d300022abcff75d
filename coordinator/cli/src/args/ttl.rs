//! The subcommands of `keysweep ttl` and their flags.

use std::time::Duration;

use clap::{Args, Subcommand};
use keysweep_model::duration;

use super::TtlAdviseSettings;
use super::ttl_experiment::ExperimentCommand;
use crate::examples;

/// The subcommands of `ttl`.
#[derive(Subcommand)]
pub enum TtlCommand {
    /// Estimate hit rate, misses and memory with other TTLs, or say why that is not possible
    #[command(after_help = examples::TTL_ADVISE)]
    Advise(TtlAdviseArgs),
    /// Give half of the users another TTL, and measure what it does to misses
    Experiment {
        /// What to do with the experiment.
        #[command(subcommand)]
        command: ExperimentCommand,
    },
}

/// Flags of `ttl advise`.
#[derive(Args)]
pub struct TtlAdviseArgs {
    /// Which Redis, which keys, and how fast.
    #[command(flatten)]
    pub settings: TtlAdviseSettings,
    /// Recommend the shortest TTL that reaches this hit rate; without it, memory decides
    #[arg(long, value_name = "PERCENT", value_parser = percent, help_heading = ADVICE)]
    pub target_hit_rate: Option<f64>,
    /// Look again for so long before answering, so that one call suffices, such as 10m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, help_heading = ADVICE)]
    pub look_for: Option<Duration>,
}

const ADVICE: &str = "Advice";

/// A share above 0 and below 100, in percent.
fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|share| *share > 0.0 && *share < 100.0)
        .ok_or_else(|| "write a number between 0 and 100".to_owned())
}
