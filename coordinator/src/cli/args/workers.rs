//! The flags of commands that work over NATS: roles, runs, events, setup.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shared::ids::RunId;
use shared::limits::{EMBEDDED_REAPS, EMBEDDED_SCANS};

use super::super::run_ref::RunRef;
use super::{ConnectionArgs, JobArgs, NatsConnectionArgs, SELECTION, about};

const ROLE: &str = "Role";

/// Flags of `serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// The job, where no job file defines any; otherwise what all its jobs have in common.
    #[command(flatten)]
    pub job: JobArgs,
    /// Answer /livez, /readyz, /metrics and /api over HTTP there, such as 0.0.0.0:9464
    #[arg(long, value_name = "ADDR", help_heading = ROLE)]
    pub admin_addr: Option<SocketAddr>,
    /// See the settings table.
    #[arg(long, value_name = "FILE", help = about("--api-token-file"), help_heading = ROLE)]
    pub api_token_file: Option<String>,
}

/// Flags of a worker's role.
#[derive(Args)]
pub struct RoleArgs {
    /// Where Redis and NATS are.
    #[command(flatten)]
    pub place: ConnectionArgs,
    /// Answer /livez, /readyz and /metrics over HTTP there, such as 0.0.0.0:9464
    #[arg(long, value_name = "ADDR", help_heading = ROLE)]
    pub admin_addr: Option<SocketAddr>,
}

/// Flags of scanners and reapers.
#[derive(Args)]
pub struct WorkerArgs {
    /// Those of every role.
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
    /// Those of scanners as well.
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// See the settings table.
    #[arg(long, value_name = "PLACE", help = about("--backup"), help_heading = ROLE)]
    pub backup: Option<String>,
}

fn default_at_once() -> u8 {
    u8::try_from(EMBEDDED_SCANS.max(EMBEDDED_REAPS)).unwrap_or(4)
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
    /// Print every key that a run deleted or gave a TTL, one JSON document per line
    Audit {
        /// Which run.
        #[command(flatten)]
        run: RunArg,
        /// Print every candidate, whatever became of it
        #[arg(long)]
        all: bool,
    },
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
    #[arg(long, value_enum, value_name = "STATUS", hide_possible_values = true, help_heading = SELECTION)]
    pub status: Option<StatusArg>,
    /// Where NATS is.
    #[command(flatten)]
    pub net: NatsConnectionArgs,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// It goes on.
    Running,
    /// It has done everything.
    Completed,
    /// It has ended and missed something.
    Partial,
    /// It has failed.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl StatusArg {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A run.
#[derive(Args)]
pub struct RunArg {
    /// The run: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN")]
    pub run: RunRef,
    /// Where NATS is.
    #[command(flatten)]
    pub net: NatsConnectionArgs,
}

/// Flags of `runs attach`.
#[derive(Args)]
pub struct AttachArgs {
    /// The run: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN")]
    pub run: RunRef,
    /// Where Redis and NATS are: a run that was left is driven on from here.
    #[command(flatten)]
    pub place: ConnectionArgs,
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

impl RunsCommand {
    /// The flags that settle where NATS is, but for those of `attach`, which has more.
    pub(super) fn net(&self) -> Option<&NatsConnectionArgs> {
        match self {
            Self::List(list) => Some(&list.net),
            Self::Show(run) | Self::Cancel(run) | Self::Audit { run, .. } => Some(&run.net),
            Self::Report(report) => Some(&report.run.net),
            Self::Attach(_) => None,
        }
    }
}

/// Flags of `stats`.
#[derive(Args)]
pub struct StatsArgs {
    /// Where Redis and NATS are.
    #[command(flatten)]
    pub place: ConnectionArgs,
    /// Only of this job
    #[arg(long, value_name = "NAME", help = about("--job"), help_heading = SELECTION)]
    pub job: Option<String>,
    /// Where the history is, without NATS
    #[arg(long, value_name = "DIR", help = about("--state-dir"), help_heading = SELECTION)]
    pub state_dir: Option<String>,
}

/// Flags of `events`.
#[derive(Args)]
pub struct EventsArgs {
    /// Where NATS is.
    #[command(flatten)]
    pub net: NatsConnectionArgs,
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
    /// Where NATS is.
    #[command(flatten)]
    pub net: NatsConnectionArgs,
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
    /// The job
    #[arg(long)]
    pub job: Option<String>,
    /// Where Redis and NATS are.
    #[command(flatten)]
    pub place: ConnectionArgs,
}
