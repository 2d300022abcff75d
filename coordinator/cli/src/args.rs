//! The syntax of the command line. Flags of settings come from the settings table; other flags are fields here. Only
//! `main` and this module use clap.

mod inspect;
mod restore;
mod settings;
mod ttl;
mod ttl_experiment;
mod workers;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use keysweep_config::{FlagLayer, Group, Section, SettingDef};

pub use self::inspect::{InspectArgs, MemoryMode};
pub use self::restore::RestoreArgs;
pub use self::settings::{
    ConnectionArgs, DriveSettings, HealthSettings, InspectSettings, JobArgs, NatsArgs, ReaperSettings,
    RestoreSettings, RunsSettings, ServeSettings, StatsSettings, TtlAdviseSettings, WorkerSettings,
};
pub use self::ttl::{TtlAdviseArgs, TtlCommand};
pub use self::ttl_experiment::{
    ExperimentCommand, ExperimentNameArgs, ExperimentQuestionArgs, ExperimentStatusArgs,
};
pub use self::workers::{
    AttachArgs, AuditArgs, DriveArgs, EventsArgs, HealthArgs, KeysArgs, ListArgs, NatsCommand, ReaperArgs,
    ReportArgs, RoleArgs, RunsCommand, ScannerArgs, ScheduleCommand, ServeArgs, SetupArgs, StatsArgs,
    WorkerArgs, WorkerRole,
};
use super::examples;

/// Deletes keys that are no longer needed from Redis and Redis Cluster: keys written without an
/// expiry by mistake, and caches of inactive users.
#[derive(Parser)]
#[command(name = "keysweep", version, after_help = examples::MAIN, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
struct Syntax {
    /// What to do.
    #[command(subcommand)]
    command: Command,
    /// How to print.
    #[command(flatten)]
    output: OutputArgs,
}

/// A parsed command line.
pub struct Cli {
    /// The subcommand's name.
    pub name: String,
    /// The subcommand with its own flags.
    pub command: Command,
    /// The format of the output.
    pub output: OutputArgs,
    /// The flags of settings.
    pub settings: FlagLayer,
    /// The job file that `--config` names.
    pub config_file: Option<String>,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Which namespaces the keys are in, how many have no TTL; touches nothing
    #[command(after_help = examples::INSPECT)]
    Inspect(InspectArgs),
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
    /// A worker in all roles: scanner, reaper and reporter
    #[command(after_help = examples::ROLES)]
    Worker(WorkerArgs),
    /// A worker that reads scan tasks
    #[command(after_help = examples::ROLES)]
    Scanner(ScannerArgs),
    /// A worker that deletes what scanners found
    #[command(after_help = examples::ROLES)]
    Reaper(ReaperArgs),
    /// A worker that makes results of what the others did
    #[command(after_help = examples::ROLES)]
    Reporter(RoleArgs),
    /// Ask a service or worker on this machine whether it can work
    #[command(after_help = examples::HEALTH)]
    Health(HealthArgs),
    /// Queue, cache health, Redis health
    #[command(after_help = examples::STATS)]
    Stats(StatsArgs),
    /// List, show, follow, cancel, report and audit runs
    #[command(after_help = examples::RUNS)]
    Runs {
        /// What to do with the runs.
        #[command(subcommand)]
        command: RunsCommand,
    },
    /// Explain when a job with `schedule = "auto"` runs, or simulate it on its history
    #[command(after_help = examples::SCHEDULE)]
    Schedule {
        /// What to show.
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Check which keys break the rules of a job; touches nothing
    Policy {
        /// What to do with the rules.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// What another TTL would do to a cache
    Ttl {
        /// What to do about TTLs.
        #[command(subcommand)]
        command: TtlCommand,
    },
    /// Show or follow the events of runs
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
    /// Whether it works on runs, so that traces have spans of it.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.is_service() || matches!(self, Self::Run(_))
    }

    /// Whether it runs until it is stopped, so that its log is its only output.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(
            self,
            Self::Serve(_) | Self::Worker(_) | Self::Scanner(_) | Self::Reaper(_) | Self::Reporter(_)
        )
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
    /// Print a job file in which every setting is explained and commented out
    Init {
        /// Write it to this new file instead; an existing file stays as it is
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// The subcommands of `policy`.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Count the keys that break each rule; exit code 6 if more do than allowed, 3 if that is not known
    #[command(after_help = examples::POLICY_CHECK)]
    Check(PolicyCheckArgs),
}

/// Flags of `policy check`.
#[derive(Args)]
pub struct PolicyCheckArgs {
    /// Which keys, where and how fast.
    #[command(flatten)]
    pub job: JobArgs,
    /// Read an RDB file, or the `*.rdb` in a directory, instead of servers; - for standard input; repeatable for the nodes of
    /// a cluster
    #[arg(long, value_name = "FILE", help_heading = CHECK)]
    pub rdb: Vec<PathBuf>,
    /// How many keys may break rules
    #[arg(long, value_name = "KEYS", default_value_t = 0, help_heading = CHECK)]
    pub allow: u64,
    /// How many keys that break a rule are named, of each rule and each way to break it; 0 to 10
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=10), help_heading = CHECK)]
    pub sample_keys: u8,
    /// Print text, json, junit or github (annotations of GitHub Actions)
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true, help_heading = CHECK)]
    pub format: CheckFormat,
}

/// How `policy check` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A page
    Text,
    /// One JSON document
    Json,
    /// JUnit XML
    Junit,
    /// Annotations of GitHub Actions
    Github,
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
    /// Only start the run, on workers or at a service; `keysweep runs attach` follows it
    #[arg(long, help_heading = Group::Nats.heading())]
    pub detach: bool,
    /// Let the keysweep serve at this URL do the run; needs the token of its API
    #[arg(long, value_name = "URL", help_heading = VIA)]
    pub via: Option<String>,
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

const SELECTION: &str = Group::Selection.heading();
const SAFETY: &str = Group::Safety.heading();
const VIA: &str = "Service";
const CHECK: &str = "Check";

impl Cli {
    /// Parses a command line, the name of the program first.
    ///
    /// # Errors
    /// An unknown flag or a missing value; also `--help` and `--version`, with their text.
    pub fn parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(line)?;
        let Syntax { command, output } =
            Syntax::from_arg_matches(&matches).map_err(|e| e.format(&mut self::command()))?;
        let name = matches.subcommand_name().unwrap_or_default().to_owned();
        let (settings, config_file) = settings::given(&matches);
        Ok(Self { name, command, output, settings, config_file })
    }

    /// The flags of the connections and of the job's name, as arguments of another process.
    #[must_use]
    pub fn connection_flags(&self) -> Vec<String> {
        let is_connection =
            |row: &SettingDef| matches!(row.section, Section::Redis | Section::Nats) || row.name == "name";
        let mut flags = self.settings.to_args(is_connection);
        flags.extend(self.config_file.iter().map(|file| format!("--config={file}")));
        flags
    }
}

/// The whole command line, for help texts, completions and the manual.
#[must_use]
pub fn command() -> clap::Command {
    Syntax::command()
}

#[cfg(test)]
mod tests;
