//! The subcommands of `keysweep ttl experiment` and their flags.

use std::time::Duration;

use clap::{Args, Subcommand};
use keysweep_model::duration;
use keysweep_ttl_experiment::limits::BUCKETS;

use super::JobArgs;
use crate::examples;

/// The subcommands of `ttl experiment`.
#[derive(Subcommand)]
pub enum ExperimentCommand {
    /// How long it would take; touches nothing
    #[command(after_help = examples::EXPERIMENT_PLAN)]
    Plan(ExperimentQuestionArgs),
    /// Plan it, and publish who has which TTL
    #[command(after_help = examples::EXPERIMENT_START)]
    Start(ExperimentQuestionArgs),
    /// Look at the live keys, and say what is known; ends the experiment when it is decided, or must not go on
    #[command(after_help = examples::EXPERIMENT_STATUS)]
    Status(ExperimentStatusArgs),
    /// Give all users the TTL of the control again
    Stop(ExperimentNameArgs),
}

/// Which experiment.
#[derive(Args)]
pub struct ExperimentNameArgs {
    /// Which keys, where and how fast.
    #[command(flatten)]
    pub job: JobArgs,
    /// The name of the experiment, if not that of the job
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = EXPERIMENT)]
    pub name: Option<String>,
}

/// What to find.
#[derive(Args)]
pub struct ExperimentQuestionArgs {
    /// Which experiment.
    #[command(flatten)]
    pub named: ExperimentNameArgs,
    /// The other TTL, such as 30m; that of the control is `configured_ttl`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = EXPERIMENT)]
    pub other_ttl: Duration,
    /// The change of misses that should be found, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, help_heading = EXPERIMENT)]
    pub effect: f64,
    /// Changes up to this do not matter, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = EXPERIMENT)]
    pub margin: f64,
    /// How often a verdict may be wrong, in percent, whenever it is looked at
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, help_heading = EXPERIMENT)]
    pub alpha: f64,
    /// How often such a change should be found, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 80.0, help_heading = EXPERIMENT)]
    pub power: f64,
    /// Buckets that users are divided into
    #[arg(long, value_name = "N", default_value_t = BUCKETS, help_heading = EXPERIMENT)]
    pub buckets: u32,
    /// After which time the arms are swapped [default: whole days, 8 of the longer TTL]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = EXPERIMENT)]
    pub period: Option<Duration>,
    /// Entries that are written per second, if not measured
    #[arg(long, value_name = "N", help_heading = EXPERIMENT)]
    pub fills_per_second: Option<f64>,
    /// How many times as many fills are needed as if they were independent, if not measured
    #[arg(long, value_name = "N", help_heading = EXPERIMENT)]
    pub overdispersion: Option<f64>,
}

/// Flags of `status`.
#[derive(Args)]
pub struct ExperimentStatusArgs {
    /// Which experiment.
    #[command(flatten)]
    pub named: ExperimentNameArgs,
    /// Look again and again, as often as the plan says, until it has ended
    #[arg(long, help_heading = EXPERIMENT)]
    pub watch: bool,
}

const EXPERIMENT: &str = "Experiment";

/// A name that is part of a key.
fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = (1..=100).contains(&text.len()) && text.chars().all(is_plain);
    fits.then(|| text.to_owned()).ok_or_else(|| "use up to 100 letters, digits, `-`, `_` and `.`".to_owned())
}
