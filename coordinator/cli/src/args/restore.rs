//! The flags of `restore`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use keysweep_model::ids::RunId;
use keysweep_model::messages::Reason;

use super::{ConnectionArgs, RestoreSettings, SAFETY, SELECTION};

/// Flags of `restore`.
#[derive(Args)]
pub struct RestoreArgs {
    /// Where the keys were saved: what --backup was
    #[arg(value_name = "PLACE")]
    pub from: String,
    /// Put back only keys that match; may be repeated
    #[arg(long = "match", value_name = "GLOB", help_heading = SELECTION)]
    pub matching: Vec<String>,
    /// Put back only keys that were deleted as stale, as inactive, or as expiring (by a rule)
    #[arg(long, value_parser = reason(), value_name = "REASON", hide_possible_values = true, help_heading = SELECTION)]
    pub reason: Option<Reason>,
    /// Put back only what this run deleted
    #[arg(long, value_name = "ID", help_heading = SELECTION)]
    pub run: Option<RunId>,
    /// The job.
    #[command(flatten)]
    pub settings: RestoreSettings,
    /// Replace keys that exist; they are left alone otherwise
    #[arg(long, help_heading = SAFETY)]
    pub replace: bool,
    /// Only read and check the files, without going to Redis
    #[arg(long, help_heading = SAFETY)]
    pub dry_run: bool,
    /// Put back without asking
    #[arg(long, help_heading = SAFETY)]
    pub yes: bool,
    /// The connections.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

fn reason() -> impl TypedValueParser<Value = Reason> {
    // Keys are deleted for these.
    let all = [Reason::Stale, Reason::Inactive, Reason::Expiring];
    let words = PossibleValuesParser::new(all.map(<&str>::from));
    words.map(move |word| all.into_iter().find(|reason| word == <&str>::from(*reason)).unwrap_or(all[0]))
}
