//! The binary `keysweep`: parses the command line, resolves the settings, runs a command, and maps its end to an exit
//! code.

use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use coordinator::exit;
use coordinator::options::Options;
use jiff::Timestamp;
use keysweep_cli::args::{Cli, Command, ConfigCommand, NatsCommand, PolicyCommand, RunArgs, TtlCommand};
use keysweep_cli::connections::Connections;
use keysweep_cli::error::CommandError;
use keysweep_cli::inspect::InspectTarget;
use keysweep_cli::inspect_page::advice::shell_words;
use keysweep_cli::remote::{self, DriverSpawner};
use keysweep_cli::run::{OutputMode, RunStart};
use keysweep_cli::{
    check, demo, events, health, here, inspect, log, nats_keys, nats_setup, policy, restore, roles, run,
    runs, schedule, serve_here, show, stats, telemetry, ttl, ttl_experiment, via, worker,
};
use keysweep_config as config;
use keysweep_config::limits::JOB_FILE_BYTES_MAX;
use keysweep_config::{
    BackupPlace, Environment, FlagLayer, Group, JobFile, Origin, Section, SettingDef, Settings,
};
use keysweep_files as files;
use keysweep_files::read_text;
use keysweep_model::messages::Attempt;
use keysweep_model::printable;
use keysweep_model::redact::redact;
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
    keysweep_allocator::return_memory_early();
    let cli = match Cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(e) => return unparsed(&e),
    };
    log::init(&cli.output, cli.command.is_service());
    if cli.command.is_traced() {
        telemetry::start_spans();
    }
    let (json, runtime) = (cli.output.json, runtime());
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(Box::pin(command(&cli)));
            telemetry::finish_spans();
            // A question on the terminal may still wait for its answer; it is not needed any more.
            runtime.shutdown_background();
            ended
        }
        Err(e) => Err(e.into()),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            let code = e.code();
            if e.is_detached() {
                tracing::info!("{e}");
            } else if code != exit::DONE {
                tracing::error!("{e}");
            }
            if json {
                print_json_error(&e.to_string(), code);
            }
            ExitCode::from(code)
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

/// What `inspect` looks at.
fn inspect_target(cli: &Cli, files: &[PathBuf]) -> Result<InspectTarget, CommandError> {
    refuse_servers_beside(files, cli)?;
    let settings = resolved(cli, config::resolve)?;
    let connection: Vec<String> = cli.connection_flags().iter().map(|flag| redact(flag)).collect();
    Ok(InspectTarget {
        one_database: !matches!(settings.db.origin, Origin::Default),
        options: Options::from_settings(&settings)?,
        connection: shell_words(&connection).unwrap_or_default(),
    })
}

/// Refuses flags that are about servers if files are read. What a job file or the environment says of servers is not used.
fn refuse_servers_beside(files: &[PathBuf], cli: &Cli) -> Result<(), CommandError> {
    let is_about_servers = |row: &SettingDef| {
        matches!(row.section, Section::Redis | Section::Nats)
            || row.group == Group::Pace
            || row.name == "max_runtime"
    };
    match cli.settings.to_args(is_about_servers).first() {
        Some(given) if !files.is_empty() => {
            let flag = given.split('=').next().unwrap_or_default();
            Err(usage(format!("`--rdb` reads files instead of servers: leave out `{flag}`")))
        }
        _ => Ok(()),
    }
}

/// Prints the one JSON document that a program expects on stdout, also for errors.
fn print_json_error(message: &str, code: u8) {
    let document = format!("{:#}", json!({ "error": message, "exitCode": code }));
    let _ = writeln!(io::stdout(), "{}", printable::json(&document));
}

async fn command(cli: &Cli) -> Result<u8, CommandError> {
    let how = OutputMode { json: cli.output.json, quiet: cli.output.quiet };
    match &cli.command {
        Command::Run(args) => start(cli, args, how).await,
        Command::Plan(_) => run::plan(&Options::from_settings(&resolved(cli, config::resolve)?)?, how).await,
        Command::Policy { command: PolicyCommand::Check(args) } => {
            refuse_servers_beside(&args.rdb, cli)?;
            let options = Options::from_settings(&resolved(cli, config::resolve)?)?;
            Box::pin(policy::check(options, args, how)).await
        }
        Command::Inspect(args) => {
            Box::pin(inspect::inspect(inspect_target(cli, &args.rdb)?, args, how)).await
        }
        Command::Ttl { command } => of_ttl(cli, command, how).await,
        Command::Restore(args) => {
            Box::pin(restore::restore(&resolved(cli, config::destinations)?, args, how)).await
        }
        Command::Demo(args) => demo::demo(args, how).await,
        Command::Config { command } => configuration(cli, command, how),
        Command::Serve(_) => match here(cli)? {
            Some(jobs) => Box::pin(serve_here::serve(&jobs, &|| all_jobs(cli))).await,
            None => Box::pin(roles::coordinator(&connections(cli)?, &|| all_jobs(cli))).await,
        },
        Command::Worker(args) => Box::pin(worker::worker(&connections(cli)?, args)).await,
        Command::Scanner(args) => Box::pin(worker::scanner(&connections(cli)?, args)).await,
        Command::Reaper(args) => Box::pin(worker::reaper(&connections(cli)?, args)).await,
        Command::Reporter(_) => Box::pin(worker::reporter(&connections(cli)?)).await,
        Command::Health(args) => {
            health::health(&cli.settings, cli.config_file.as_deref(), args.live, how).await
        }
        Command::Stats(_) => {
            let jobs = all_jobs(cli)?;
            match jobs.as_slice() {
                [only] if only.nats.is_none() => stats::local_stats(only, how).await,
                [first, ..] if first.nats.is_none() => {
                    Err(usage("the job file has several jobs: name one with `--job`"))
                }
                _ => stats::stats(&connections(cli)?, how).await,
            }
        }
        Command::Runs { command } => match here(cli)? {
            Some(jobs) => here::runs(&jobs, command, how).await,
            None => runs::runs(&connections(cli)?, command, &starter(cli), how).await,
        },
        Command::Schedule { command } => match here(cli)? {
            Some(jobs) => here::schedule(&jobs, command, how).await,
            None => schedule::schedule(&connections(cli)?, command, how).await,
        },
        Command::Events(args) => match here(cli)? {
            Some(jobs) => here::events(&jobs, args, how).await,
            None => events::events(&connections(cli)?, args, how).await,
        },
        Command::Nats { command: NatsCommand::Setup(args) } => {
            nats_setup::nats_setup(&connections(cli)?, args, how).await
        }
        Command::Nats { command: NatsCommand::Keys(args) } => nats_keys::nats_keys(args, how),
        Command::Drive(args) => Box::pin(remote::drive(&connections(cli)?, args.id, args.revision)).await,
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

/// `keysweep ttl`: advice about TTLs, or an experiment with one.
async fn of_ttl(cli: &Cli, command: &TtlCommand, how: OutputMode) -> Result<u8, CommandError> {
    let settings = resolved(cli, config::resolve)?;
    match command {
        TtlCommand::Advise(args) => Box::pin(ttl::advise(&settings, args, how)).await,
        TtlCommand::Experiment { command } => {
            Box::pin(ttl_experiment::experiment(&settings, command, how)).await
        }
    }
}

/// `keysweep config`: the settings, a check of a job file, or a new one.
fn configuration(cli: &Cli, command: &ConfigCommand, how: OutputMode) -> Result<u8, CommandError> {
    match command {
        ConfigCommand::Show(_) => {
            let settings = resolved(cli, config::resolve)?;
            let (rows, (text, runs)) = (settings.rows(), show::schedule(&settings, Timestamp::now()));
            let page =
                if how.json { show::settings_json(&rows, &runs) } else { show::settings(&rows) + &text };
            io::stdout().write_all(page.as_bytes())?;
            Ok(exit::DONE)
        }
        ConfigCommand::Check { file } => {
            let text = read_text(file, JOB_FILE_BYTES_MAX);
            let text = text.map_err(|e| usage(format!("failed to read `{}`: {e}", file.display())))?;
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
            files::create(path, config::job_file().as_bytes()).map_err(usage)?;
            tracing::info!("wrote `{}`", path.display());
            Ok(exit::DONE)
        }
    }
}

/// `keysweep run`: at a service, in this process, or on workers if the settings have the address of NATS.
async fn start(cli: &Cli, args: &RunArgs, how: OutputMode) -> Result<u8, CommandError> {
    let settings = resolved(cli, config::resolve)?;
    if let Some(url) = &args.via {
        let body = via::request_body(&cli.settings, &Environment::snapshot()?, &settings)?;
        let request = via::ViaRequest { url, body, yes: args.yes, detach: args.detach };
        return Box::pin(via::run(&settings, &request, how)).await;
    }
    // An interactive user sees how the run ended, so it is retried only if the attempts are set.
    let of = if settings.attempts.origin == Origin::Default { 1 } else { settings.attempts.value };
    let attempt = Attempt { of, ..Attempt::default() };
    let options = Options { attempt, ..Options::from_settings(&settings)? };
    let mut connections = settings.nats.is_some().then(|| connections(cli)).transpose()?;
    if let Some(connections) = &mut connections {
        // The plan and the run use the same connection.
        connections.access.insert(options.alias.clone(), options.access.clone());
    }
    if args.detach && connections.is_none() {
        let message = "`--detach` needs workers or a service: set the address of NATS with `--nats URL`, `NATS_URL` or `[nats]`, or that of \
             the service with `--via URL`";
        return Err(usage(message));
    }
    if let (Some((BackupPlace::Bucket(bucket), _)), None) = (&options.backup, &connections) {
        let message =
            format!("`--backup nats://{bucket}` needs workers: set the address of NATS with `--nats URL`");
        return Err(usage(message));
    }
    let starter = starter(cli);
    let workers = connections.as_ref().map(|connections| (connections, &starter));
    let start = RunStart { yes: args.yes, detach: args.detach, workers };
    run::run(&options, settings.retry_backoff.value, &start, how).await
}

/// What `resolve` makes of the flags, the environment and the job file.
fn resolved<T, E>(
    cli: &Cli,
    resolve: impl FnOnce(&FlagLayer, &Environment, Option<&JobFile>) -> Result<T, E>,
) -> Result<T, CommandError>
where
    CommandError: From<E>,
{
    let environment = Environment::snapshot()?;
    let file = JobFile::find(cli.config_file.as_deref(), &environment)?;
    Ok(resolve(&cli.settings, &environment, file.as_ref())?)
}

/// The settings of the jobs, if they have no address of NATS: then the runs of this machine are meant.
fn here(cli: &Cli) -> Result<Option<Vec<Settings>>, CommandError> {
    let jobs = all_jobs(cli)?;
    Ok(jobs.iter().all(|job| job.nats.is_none()).then_some(jobs))
}

/// The settings of all jobs.
fn all_jobs(cli: &Cli) -> Result<Vec<Settings>, CommandError> {
    resolved(cli, config::resolve_all)
}

/// The connections of commands over NATS.
fn connections(cli: &Cli) -> Result<Connections, CommandError> {
    resolved(cli, |flags, environment, file| Connections::resolve(&cli.name, flags, environment, file))
}

fn usage(message: impl Display) -> CommandError {
    CommandError::Usage(message.to_string())
}

/// How to start a process with our settings.
fn starter(cli: &Cli) -> DriverSpawner {
    DriverSpawner { flags: cli.connection_flags() }
}
