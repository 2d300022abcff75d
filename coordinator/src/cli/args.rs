//! The command line's syntax. Settings are taken as plain texts and handed to
//! [`shared::config::resolve`], which checks them together with the other layers; their help comes
//! from the same table. Nothing behind `main` sees clap.

mod connection;
mod job;
mod nats;
mod restore;
mod workers;

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use shared::config::{self, FlagLayer};

pub use self::connection::{ConnectionArgs, NatsConnectionArgs};
pub use self::job::JobArgs;
pub use self::nats::NatsArgs;
pub use self::restore::RestoreArgs;
pub use self::workers::{
    AttachArgs, DriveArgs, EventsArgs, KeysArgs, ListArgs, NatsCommand, ReaperArgs, ReportArgs, RoleArgs,
    RunsCommand, ServeArgs, SetupArgs, StatsArgs, WorkerArgs,
};
use super::examples;

/// Cleans Redis and Redis Cluster of keys that nobody will ever need again: keys written without an
/// expiry by mistake, and caches of users who no longer come.
#[derive(Parser)]
#[command(name = "keysweep", version, after_help = examples::MAIN, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// One cleanup, from start to result
    #[command(after_help = examples::RUN)]
    Run(RunArgs),
    /// What a run would do, node by node; touches nothing
    #[command(after_help = examples::PLAN)]
    Plan(JobArgs),
    /// Put back what runs deleted, from where they saved it
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// A throwaway cluster with sample data, one run, its result
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// The coordinator as a service: schedule, runs, answers for programs
    #[command(after_help = examples::SERVE)]
    Serve(ServeArgs),
    /// A worker that reads scan tasks
    #[command(after_help = examples::ROLES)]
    Scanner(WorkerArgs),
    /// A worker that deletes what scanners found
    #[command(after_help = examples::ROLES)]
    Reaper(ReaperArgs),
    /// A worker that makes results of what the others did
    #[command(after_help = examples::ROLES)]
    Reporter(RoleArgs),
    /// Queue, cache health, Redis health
    #[command(after_help = examples::STATS)]
    Stats(StatsArgs),
    /// List, show, follow, cancel, report and audit runs on workers
    #[command(after_help = examples::RUNS)]
    Runs {
        /// What to do with the runs.
        #[command(subcommand)]
        command: RunsCommand,
    },
    /// Follow the events of runs on workers
    #[command(after_help = examples::EVENTS)]
    Events(EventsArgs),
    /// Show or create what keysweep keeps in NATS
    Nats {
        /// What to do.
        #[command(subcommand)]
        command: NatsCommand,
    },
    /// Drive one run; started by `run --nats` where no service does
    #[command(hide = true)]
    Drive(DriveArgs),
    /// Show the settings with their origin, or check a job file
    #[command(after_help = examples::CONFIG)]
    Config {
        /// What to do with the configuration.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Whether it works until it is told to stop, so that its log is all that is seen of it.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Scanner(_) | Self::Reaper(_) | Self::Reporter(_))
    }

    /// Its word on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Plan(_) => "plan",
            Self::Restore(_) => "restore",
            Self::Demo(_) => "demo",
            Self::Serve(_) => "serve",
            Self::Scanner(_) => "scanner",
            Self::Reaper(_) => "reaper",
            Self::Reporter(_) => "reporter",
            Self::Stats(_) => "stats",
            Self::Runs { .. } => "runs",
            Self::Events(_) => "events",
            Self::Nats { .. } => "nats",
            Self::Drive(_) => "drive",
            Self::Config { .. } => "config",
            Self::Completions { .. } => "completions",
            Self::Man => "man",
        }
    }
}

/// The subcommands of `config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, its value and where it comes from
    Show(Box<JobArgs>),
    /// Check a job file and list every problem
    Check {
        /// The job file
        file: PathBuf,
    },
}

/// Flags of `run`.
#[derive(Args)]
pub struct RunArgs {
    /// Which keys, where and how.
    #[command(flatten)]
    pub job: JobArgs,
    /// Delete without asking
    #[arg(long, help_heading = SAFETY)]
    pub yes: bool,
    /// Only start the run, on workers; `keysweep runs attach` follows it
    #[arg(long, help_heading = nats::HEADING)]
    pub detach: bool,
}

/// Flags of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Keys to make
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub keys: u64,
    /// Share of them that has no TTL
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    pub stale_percent: u8,
    /// Leave the servers running until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Flags of every command.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print one JSON document; everything else goes to stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Log a run line by line, as text or json; services do so without
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// Log more; -vv logs most
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

const REDIS: &str = "Redis";
const SELECTION: &str = "Selection";
const SAFETY: &str = "Safety";

/// The help of a setting's flag with its default, from the settings table.
fn about(flag: &str) -> String {
    config::by_flag(flag).map_or_else(String::new, |spec| match spec.default_text() {
        "none" | "false" => spec.help.to_owned(),
        default => format!("{} [default: {default}]", spec.help),
    })
}

impl Cli {
    /// The flags that settle a job, for the commands that have them.
    fn job_args(&self) -> Option<&JobArgs> {
        match &self.command {
            Command::Run(run) => Some(&run.job),
            Command::Plan(job) => Some(job),
            Command::Config { command: ConfigCommand::Show(job) } => Some(job),
            Command::Serve(serve) => Some(&serve.job),
            _ => None,
        }
    }

    /// The flags that say where Redis and NATS are, for the commands that have them.
    fn place(&self) -> Option<&ConnectionArgs> {
        match &self.command {
            Command::Scanner(worker) => Some(&worker.role.place),
            Command::Reaper(reaper) => Some(&reaper.worker.role.place),
            Command::Reporter(role) => Some(&role.place),
            Command::Stats(stats) => Some(&stats.place),
            Command::Restore(restore) => Some(&restore.place),
            Command::Runs { command: RunsCommand::Attach(attach) } => Some(&attach.place),
            Command::Drive(drive) => Some(&drive.place),
            _ => self.job_args().map(|job| &job.place),
        }
    }

    /// The flags that say where NATS is, for the commands that have them.
    fn net(&self) -> Option<&NatsConnectionArgs> {
        match &self.command {
            Command::Runs { command } => command.net(),
            Command::Events(events) => Some(&events.net),
            Command::Nats { command: NatsCommand::Setup(setup) } => Some(&setup.net),
            _ => None,
        }
        .or_else(|| self.place().map(|place| &place.net))
    }

    /// The flag layer; empty for commands without settings.
    #[must_use]
    pub fn flags(&self) -> FlagLayer {
        if let Some(job) = self.job_args() {
            let mut layer = job.flags();
            if let Command::Serve(serve) = &self.command {
                layer.value("--api-token-file", serve.api_token_file.as_deref());
            }
            return layer;
        }
        let mut layer = self.place_flags();
        match &self.command {
            Command::Stats(stats) => {
                layer.value("--state-dir", stats.state_dir.as_deref());
            }
            Command::Reaper(reaper) => {
                layer.value("--backup", reaper.backup.as_deref());
            }
            _ => {}
        }
        if let Some(net) = self.net() {
            net.nats.add_to(&mut layer);
        }
        layer
    }

    /// Those of the flags that say where Redis and NATS are, and which job is meant.
    #[must_use]
    pub fn place_flags(&self) -> FlagLayer {
        let mut layer = FlagLayer::default();
        if let Some(place) = self.place() {
            place.add_to(&mut layer);
        }
        let job = match &self.command {
            Command::Stats(stats) => stats.job.as_deref(),
            Command::Restore(restore) => restore.job.as_deref(),
            Command::Drive(drive) => drive.job.as_deref(),
            _ => self.job_args().and_then(|job| job.job.as_deref()),
        };
        layer.value("--job", job);
        layer
    }

    /// What `--config` names.
    #[must_use]
    pub fn config_file(&self) -> Option<&str> {
        self.net().and_then(|net| net.config.as_deref())
    }
}

/// The whole command line, for help texts, completions and the manual.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests;
