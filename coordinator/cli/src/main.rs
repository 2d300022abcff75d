//! The binary `keysweep`: parses the command line, resolves the settings, runs a command, and maps its end to an exit
//! code.

use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use coordinator::exit;
use coordinator::options::Options;
use jiff::Timestamp;
use keysweep_cli::args::{Cli, Command, ConfigCommand, NatsCommand, RunArgs};
use keysweep_cli::connections::Connections;
use keysweep_cli::remote::{self, DriverSpawner};
use keysweep_cli::run::{OutputMode, RunStart};
use keysweep_cli::{check, demo, events, log, nats_keys, nats_setup, restore, roles, run, runs, show, stats};
use keysweep_config as config;
use keysweep_config::limits::JOB_FILE_BYTES_MAX;
use keysweep_config::{BackupPlace, ConfigError, Destinations, Environment, JobFile, Origin, Settings};
use keysweep_files as files;
use keysweep_files::read_text;
use keysweep_model::messages::Attempt;
use keysweep_model::printable;
use serde_json::json;
use tokio::runtime::Runtime;

/// Half of the processors: Redis servers on the same machine have priority. One thread reads more than a million keys
/// per second.
fn runtime() -> std::io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().worker_threads((processors / 2).max(1)).build()
}

fn main() -> ExitCode {
    let cli = match Cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(e) => return unparsed(&e),
    };
    log::init(&cli.output, cli.command.is_service());
    let (json, runtime) = (cli.output.json, runtime());
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(Box::pin(command(&cli)));
            // A question on the terminal may still wait for its answer; it is not needed any more.
            runtime.shutdown_background();
            ended
        }
        Err(e) => Err(Ended::new(exit::FAILED, e)),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(ended) => {
            if ended.code != exit::DONE {
                ended.print();
            }
            if json {
                print_json_error(&ended.message, ended.code);
            }
            ExitCode::from(ended.code)
        }
    }
}

/// Prints help and version on stdout, and errors of the command line on stderr.
fn unparsed(e: &clap::Error) -> ExitCode {
    // If this fails, the error cannot be reported either.
    let _ = e.print();
    let code = u8::try_from(e.exit_code()).unwrap_or(exit::USAGE);
    if code != exit::DONE && std::env::args_os().any(|arg| arg == "--json") {
        let text = e.to_string();
        let message = text.lines().next().unwrap_or_default();
        print_json_error(message.trim_start_matches("error: "), code);
    }
    ExitCode::from(code)
}

/// Prints the one JSON document that a program expects on stdout, also for errors.
fn print_json_error(message: &str, code: u8) {
    let document = format!("{:#}", json!({ "error": message, "exitCode": code }));
    let _ = writeln!(io::stdout(), "{}", printable::json(&document));
}

/// A command that ended with an error.
struct Ended {
    code: u8,
    message: String,
    /// Whether a signal requested this end, so that it is no failure.
    asked: bool,
}

impl Ended {
    fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string(), asked: false }
    }

    fn print(&self) {
        match self.asked {
            true => tracing::info!("{}", self.message),
            false => tracing::error!("{}", self.message),
        }
    }
}

impl From<ConfigError> for Ended {
    fn from(e: ConfigError) -> Self {
        Self::new(exit::USAGE, e)
    }
}

impl From<io::Error> for Ended {
    fn from(e: io::Error) -> Self {
        // A closed pipe (`| head`) is no failure.
        let code = if e.kind() == io::ErrorKind::BrokenPipe { exit::DONE } else { exit::FAILED };
        Self::new(code, e)
    }
}

impl From<run::CommandError> for Ended {
    fn from(e: run::CommandError) -> Self {
        Self { asked: e.is_detached(), ..Self::new(e.code(), e) }
    }
}

async fn command(cli: &Cli) -> Result<u8, Ended> {
    let how = OutputMode { json: cli.output.json, quiet: cli.output.quiet };
    match &cli.command {
        Command::Run(args) => start(cli, args, how).await,
        Command::Plan(_) => Ok(run::plan(&options(&settings(cli)?)?, how).await?),
        Command::Restore(args) => Ok(Box::pin(restore::restore(&destinations(cli)?, args, how)).await?),
        Command::Demo(args) => demo::demo(args, how).await.map_err(|e| Ended::new(e.code(), e)),
        Command::Config { command } => configuration(cli, command, how),
        Command::Serve(args) => Ok(Box::pin(roles::coordinator(&connections(cli)?, args)).await?),
        Command::Scanner(args) => Ok(Box::pin(roles::scanner(&connections(cli)?, args)).await?),
        Command::Reaper(args) => Ok(Box::pin(roles::reaper(&connections(cli)?, args)).await?),
        Command::Reporter(args) => Ok(Box::pin(roles::reporter(&connections(cli)?, args)).await?),
        Command::Stats(_) => {
            let jobs = all_settings(cli)?;
            match jobs.as_slice() {
                [only] if only.nats.is_none() => Ok(stats::local_stats(only, how).await?),
                [first, ..] if first.nats.is_none() => {
                    Err(Ended::new(exit::USAGE, "the job file has several jobs: name one with `--job`"))
                }
                _ => Ok(stats::stats(&connections(cli)?, how).await?),
            }
        }
        Command::Runs { command } => Ok(runs::runs(&connections(cli)?, command, &starter(cli), how).await?),
        Command::Events(args) => Ok(events::events(&connections(cli)?, args, how).await?),
        Command::Nats { command: NatsCommand::Setup(args) } => {
            Ok(nats_setup::nats_setup(&connections(cli)?, args, how).await?)
        }
        Command::Nats { command: NatsCommand::Keys(args) } => Ok(nats_keys::nats_keys(args, how)?),
        Command::Drive(args) => {
            Ok(Box::pin(remote::drive(&connections(cli)?, args.id, args.revision)).await?)
        }
        Command::Completions { shell } => {
            show::completions(*shell, &mut io::stdout())?;
            Ok(exit::DONE)
        }
        Command::Man => {
            show::man(&mut io::stdout())?;
            Ok(exit::DONE)
        }
    }
}

/// `keysweep config`: the settings, a check of a job file, or a new one.
fn configuration(cli: &Cli, command: &ConfigCommand, how: OutputMode) -> Result<u8, Ended> {
    match command {
        ConfigCommand::Show(_) => {
            let settings = settings(cli)?;
            let (rows, (text, runs)) = (settings.rows(), show::schedule(&settings, Timestamp::now()));
            let page =
                if how.json { show::settings_json(&rows, &runs) } else { show::settings(&rows) + &text };
            io::stdout().write_all(page.as_bytes())?;
            Ok(exit::DONE)
        }
        ConfigCommand::Check { file } => {
            let text = read_text(file, JOB_FILE_BYTES_MAX);
            let text = text
                .map_err(|e| Ended::new(exit::USAGE, format!("failed to read `{}`: {e}", file.display())))?;
            let (checked, unread) = check::check(file, &text);
            let page = if how.json {
                show::checked_json(file, &checked, &unread)
            } else {
                show::checked(file, &checked, &unread)
            };
            io::stdout().write_all(page.as_bytes())?;
            Ok(if checked.is_ok() { exit::DONE } else { exit::USAGE })
        }
        ConfigCommand::Init { output: None } => {
            io::stdout().write_all(config::job_file().as_bytes())?;
            Ok(exit::DONE)
        }
        ConfigCommand::Init { output: Some(path) } => {
            files::create(path, config::job_file().as_bytes()).map_err(|e| Ended::new(exit::USAGE, e))?;
            tracing::info!("wrote `{}`", path.display());
            Ok(exit::DONE)
        }
    }
}

/// `keysweep run`: in this process, or on workers if the settings have the address of NATS.
async fn start(cli: &Cli, args: &RunArgs, how: OutputMode) -> Result<u8, Ended> {
    let settings = settings(cli)?;
    // An interactive user sees how the run ended, so it is retried only if the attempts are set.
    let of = if settings.attempts.origin == Origin::Default { 1 } else { settings.attempts.value };
    let attempt = Attempt { of, ..Attempt::default() };
    let options = Options { attempt, ..options(&settings)? };
    let mut connections = settings.nats.is_some().then(|| connections(cli)).transpose()?;
    if let Some(connections) = &mut connections {
        // The plan and the run use the same connection.
        connections.access.insert(options.alias.clone(), options.access.clone());
    }
    if args.detach && connections.is_none() {
        let message =
            "`--detach` needs workers: set the address of NATS with `--nats URL`, `NATS_URL` or `[nats]`";
        return Err(Ended::new(exit::USAGE, message));
    }
    if let (Some((BackupPlace::Bucket(bucket), _)), None) = (&options.backup, &connections) {
        let message =
            format!("`--backup nats://{bucket}` needs workers: set the address of NATS with `--nats URL`");
        return Err(Ended::new(exit::USAGE, message));
    }
    let starter = starter(cli);
    let workers = connections.as_ref().map(|connections| (connections, &starter));
    let start = RunStart { yes: args.yes, detach: args.detach, workers };
    Ok(run::run(&options, settings.retry_backoff.value, &start, how).await?)
}

/// The job file and the environment, as sources of settings.
fn sources(cli: &Cli) -> Result<(Environment, Option<JobFile>), ConfigError> {
    let environment = Environment::snapshot()?;
    let file = JobFile::find(cli.config_file.as_deref(), &environment)?;
    Ok((environment, file))
}

fn settings(cli: &Cli) -> Result<Settings, ConfigError> {
    let (environment, file) = sources(cli)?;
    config::resolve(&cli.settings, &environment, file.as_ref())
}

fn destinations(cli: &Cli) -> Result<Destinations, ConfigError> {
    let (environment, file) = sources(cli)?;
    config::destinations(&cli.settings, &environment, file.as_ref())
}

fn all_settings(cli: &Cli) -> Result<Vec<Settings>, ConfigError> {
    let (environment, file) = sources(cli)?;
    config::resolve_all(&cli.settings, &environment, file.as_ref())
}

fn options(settings: &Settings) -> Result<Options, Ended> {
    Options::from_settings(settings).map_err(|e| Ended::new(exit::USAGE, e))
}

/// The connections of commands over NATS.
fn connections(cli: &Cli) -> Result<Connections, Ended> {
    let (environment, file) = sources(cli)?;
    let connections = Connections::resolve(cli.command.name(), &cli.settings, &environment, file.as_ref());
    connections.map_err(|e| Ended::new(exit::USAGE, e))
}

/// How to start a process with our settings.
fn starter(cli: &Cli) -> DriverSpawner {
    DriverSpawner { flags: cli.connection_flags() }
}
