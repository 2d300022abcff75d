//! The flags of commands that work over NATS, and around them: roles, health, runs, events, setup.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use coordinator::limits::{EMBEDDED_REAPS, EMBEDDED_SCANS};
use keysweep_model::ids::RunId;

use super::super::run_ref::RunRef;
use super::{
    ConnectionArgs, DriveSettings, HealthSettings, JobArgs, NatsArgs, ReaperSettings, RunsSettings,
    SELECTION, ServeSettings, StatsSettings, WorkerSettings,
};

const ROLE: &str = "Role";

/// Flags of `serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// The job if no job file defines any; otherwise settings that all its jobs share.
    #[command(flatten)]
    pub job: JobArgs,
    /// The HTTP endpoints and API.
    #[command(flatten)]
    pub settings: ServeSettings,
}

/// Flags of a worker's role.
#[derive(Args)]
pub struct RoleArgs {
    /// The connections.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// The HTTP endpoints.
    #[command(flatten)]
    pub settings: WorkerSettings,
}

/// Flags of scanners and reapers.
#[derive(Args)]
pub struct ScannerArgs {
    /// Flags of every role.
    #[command(flatten)]
    pub role: RoleArgs,
    /// Messages to work on at a time
    #[arg(long, value_name = "N", default_value_t = default_at_once(), help_heading = ROLE)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=64))]
    pub at_once: u8,
}

/// Flags of reapers.
#[derive(Args)]
pub struct ReaperArgs {
    /// Flags of scanners, too.
    #[command(flatten)]
    pub worker: ScannerArgs,
    /// The backup.
    #[command(flatten)]
    pub settings: ReaperSettings,
}

/// Flags of `worker`.
#[derive(Args)]
pub struct WorkerArgs {
    /// Flags of reapers, too.
    #[command(flatten)]
    pub reaper: ReaperArgs,
    /// Only these roles, separated by commas [default: scanner,reaper,reporter]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES", help_heading = ROLE)]
    #[arg(default_values_t = WorkerRole::ALL, hide_default_value = true, hide_possible_values = true)]
    pub roles: Vec<WorkerRole>,
}

/// A role of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum WorkerRole {
    /// Reads scan tasks.
    Scanner,
    /// Deletes what scanners found.
    Reaper,
    /// Makes results of what the others did.
    Reporter,
}

impl WorkerRole {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Scanner, Self::Reaper, Self::Reporter];

    /// The command that has only this role.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::Reaper => "reaper",
            Self::Reporter => "reporter",
        }
    }
}

fn default_at_once() -> u8 {
    u8::try_from(EMBEDDED_SCANS.max(EMBEDDED_REAPS)).unwrap_or(4)
}

/// Flags of `health`.
#[derive(Args)]
pub struct HealthArgs {
    /// The address.
    #[command(flatten)]
    pub settings: HealthSettings,
    /// Ask only whether it runs (/livez), not whether it can work (/readyz)
    #[arg(long, help_heading = ROLE)]
    pub live: bool,
}

/// The subcommands of `runs`.
#[derive(Subcommand)]
pub enum RunsCommand {
    /// List the runs that are remembered, the newest first
    List(ListArgs),
    /// Show the result of a run, or how far it is
    Show(RunArg),
    /// Follow a run to its result
    Attach(Box<AttachArgs>),
    /// Stop a run at a safe point
    Cancel(RunArg),
    /// Print the report of a run that has ended
    Report(ReportArgs),
    /// Print every key that runs deleted or gave a TTL, one JSON document per line
    Audit(AuditArgs),
}

/// Flags of `runs audit`.
#[derive(Args)]
pub struct AuditArgs {
    /// The run: its id, the beginning of it, or `last` [default: all runs, the oldest first]
    #[arg(value_name = "RUN")]
    pub run: Option<RunRef>,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT", help_heading = SELECTION)]
    pub prefix: Option<String>,
    /// Leave out what is older, such as 1h
    #[arg(long, value_name = "DURATION", help_heading = SELECTION)]
    pub since: Option<String>,
    /// Print every candidate with its outcome
    #[arg(long)]
    pub all: bool,
    /// The connection.
    #[command(flatten)]
    pub connection: NatsArgs,
    /// The state file, without NATS.
    #[command(flatten)]
    pub settings: RunsSettings,
}

/// Flags of `runs list`.
#[derive(Args)]
pub struct ListArgs {
    /// Show so many of them at most
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = SELECTION)]
    pub limit: usize,
    /// Only those of this job
    #[arg(long, value_name = "NAME", help_heading = SELECTION)]
    pub job: Option<String>,
    /// Only those that stand so: running, completed, partial, failed or cancelled
    #[arg(long, value_parser = STATES, value_name = "STATUS", hide_possible_values = true, help_heading = SELECTION)]
    pub status: Option<String>,
    /// The connection.
    #[command(flatten)]
    pub connection: NatsArgs,
    /// The state file, without NATS.
    #[command(flatten)]
    pub settings: RunsSettings,
}

/// The states of runs, as on the command line and in JSON.
const STATES: [&str; 5] = ["running", "completed", "partial", "failed", "cancelled"];

/// A run.
#[derive(Args)]
pub struct RunArg {
    /// The run: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN")]
    pub run: RunRef,
    /// The connection.
    #[command(flatten)]
    pub connection: NatsArgs,
    /// The state file, without NATS.
    #[command(flatten)]
    pub settings: RunsSettings,
}

/// Flags of `runs attach`.
#[derive(Args)]
pub struct AttachArgs {
    /// The run: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN")]
    pub run: RunRef,
    /// The connections.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Flags of `runs report`.
#[derive(Args)]
pub struct ReportArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunArg,
    /// Print a web page that needs nothing beside itself
    #[arg(long, conflicts_with = "markdown")]
    pub html: bool,
    /// Print Markdown, which is the default
    #[arg(long)]
    pub markdown: bool,
    /// Write there instead of printing
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The subcommands of `schedule`.
#[derive(Subcommand)]
pub enum ScheduleCommand {
    /// Print the last ten decisions about when a job runs, the newest first
    Explain(ScheduleArgs),
    /// Print what `auto` would have made of the history of a job, beside a fixed interval
    Simulate(ScheduleArgs),
}

/// A job with a schedule.
#[derive(Args)]
pub struct ScheduleArgs {
    /// The job [default: the only one of the job file]
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// The connection.
    #[command(flatten)]
    pub connection: NatsArgs,
    /// The state file, without NATS.
    #[command(flatten)]
    pub settings: RunsSettings,
}

/// Flags of `stats`.
#[derive(Args)]
pub struct StatsArgs {
    /// The connections.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// The job, and the history without NATS.
    #[command(flatten)]
    pub settings: StatsSettings,
}

/// Flags of `events`.
#[derive(Args)]
pub struct EventsArgs {
    /// The connection.
    #[command(flatten)]
    pub connection: NatsArgs,
    /// The state file, without NATS.
    #[command(flatten)]
    pub settings: RunsSettings,
    /// Go on with those that come
    #[arg(long)]
    pub follow: bool,
    /// Leave out those that are older, such as 1h
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// Only those of one run: its id, the beginning of it, or `last`
    #[arg(long, value_name = "RUN")]
    pub run: Option<RunRef>,
}

/// The subcommands of `nats`.
#[derive(Subcommand)]
pub enum NatsCommand {
    /// Show the streams and consumers that keysweep needs, and how they stand
    Setup(Box<SetupArgs>),
    /// Make a key that signs runs, tasks and cancels, and print its public half
    Keys(KeysArgs),
}

/// Flags of `nats setup`.
#[derive(Args)]
pub struct SetupArgs {
    /// The connection.
    #[command(flatten)]
    pub connection: NatsArgs,
    /// Create what is missing and change what differs
    #[arg(long)]
    pub apply: bool,
}

/// Flags of `nats keys`.
#[derive(Args)]
pub struct KeysArgs {
    /// The file of the key; one that is there stays as it is
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Flags of `drive`.
#[derive(Args)]
pub struct DriveArgs {
    /// The run
    pub id: RunId,
    /// The revision of its hold, which was seen to be open
    pub revision: u64,
    /// The job.
    #[command(flatten)]
    pub settings: DriveSettings,
    /// The connections.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
