//! `keysweep run` and `keysweep plan`: from settings to the printed result.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::messages::Attempt;
use keysweep_model::printable;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_runtime::context::Context;
use keysweep_storage::history;
use keysweep_storage::store::StoreError;
use keysweep_telemetry::{Role, Telemetry};
use reporter::wrap;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use super::connections::{self, Connections, NatsConnection};

use super::error::CommandError;
use super::remote::{self, DriverSpawner};
use super::signals::Signals;
use super::via::mention_service;
use super::{metrics_file, no_match, plan_page, progress, question, telemetry};
use coordinator::drive::Progress;
use coordinator::embedded::{self, RunError, check_deletions};
use coordinator::options::Options;
use coordinator::plan_progress::PlanProgress;
use coordinator::preflight::{Preflight, preflight_with_progress};
use coordinator::run_log::RunLog;
use coordinator::run_time::RunTime;
use coordinator::serve::record_failure;
use coordinator::submit::check_free;
use coordinator::{exit, report, schedule, state};

/// The error when there is no terminal to confirm on.
const NO_TERMINAL: &str = "this run changes keys, and there is no terminal to confirm on: check it with `keysweep plan`, then add `--yes`";

/// How a command prints.
#[derive(Clone, Copy, Debug)]
pub struct OutputMode {
    /// One JSON document instead of a page.
    pub json: bool,
    /// No progress, and no log lines but errors.
    pub quiet: bool,
}

/// `keysweep plan`.
///
/// # Errors
/// When the preflight fails.
pub async fn plan(options: &Options, show: OutputMode) -> Result<u8, CommandError> {
    let options = &Options { only_plan: true, ..options.clone() };
    let time = RunTime::begin(now_ms(), options.max_runtime);
    let plan = preflight_with_terminal(options, RunId::new(), time, show).await?;
    // The plan's own lookups must not count as the application's.
    plan.note_plan(&state::context_to_read(options).await).await;
    show.print(&plan_page::json(&plan, options), || plan_page::text(&plan, options))?;
    Ok(if plan.is_whole() { exit::DONE } else { exit::PARTIAL })
}

/// Runs the preflight, with its progress on the terminal.
pub(super) async fn preflight_with_terminal(
    options: &Options,
    run: RunId,
    time: RunTime,
    show: OutputMode,
) -> Result<Preflight, RunError> {
    let (planning, steps) = PlanProgress::shown();
    let work = Box::pin(preflight_with_progress(options, run, time, &planning));
    Ok(progress::planning(steps, show.quiet, work).await?)
}

/// How to start a run.
pub struct RunStart<'a> {
    /// Whether the plan is confirmed in advance.
    pub yes: bool,
    /// Whether the command only starts the run, on workers.
    pub detach: bool,
    /// The connection to NATS, if workers do the run, and how to start a driver process.
    pub workers: Option<(&'a Connections, &'a DriverSpawner)>,
}

/// `keysweep run`: as many attempts as the options allow, one after another.
///
/// # Errors
/// When there is no result.
pub async fn run(
    options: &Options,
    backoff: Duration,
    start: &RunStart<'_>,
    show: OutputMode,
) -> Result<u8, CommandError> {
    if start.workers.is_none() {
        mention_service(options).await;
    } else if options.metrics_file.is_some() {
        let why = "`--metrics-file` is for runs without NATS: over NATS, the workers expose metrics";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let (mut attempt, telemetry) = (options.attempt, telemetry::of(Role::ALL));
    loop {
        let (once, run) = (Options { attempt, ..options.clone() }, RunId::new());
        let ended = Box::pin(attempt_once(&once, run, start, &telemetry, show)).await;
        let code = match &ended {
            Ok(code) => *code,
            Err(e) => e.code(),
        };
        let by_hand = io::stdin().is_terminal() && io::stderr().is_terminal();
        let out_of_time = matches!(&ended, Err(CommandError::Run(e)) if e.out_of_time());
        let failed = out_of_time || matches!(code, exit::FAILED | exit::UNREACHABLE);
        if let (Err(e), true, None, false) = (&ended, failed, start.workers, by_hand) {
            // Record an attempt without a result as failed. Over NATS, services record theirs. An interactive user
            // sees the error, and may just have mistyped an address.
            if let Err(e) = recorded(&once, run, &e.to_string()).await {
                tracing::warn!(error = %e, "failed to record a failed attempt");
            }
        }
        metrics_file::write(&once, &telemetry).await;
        if !matches!(code, exit::FAILED | exit::UNREACHABLE) || attempt.number >= attempt.of {
            return ended;
        }
        let pause = schedule::backoff(backoff, attempt.number);
        let cause = ended.err().map(|e| format!(": {e}")).unwrap_or_default();
        tracing::warn!(
            "attempt {} of {} failed{cause}; the next one starts in {} s",
            attempt.number,
            attempt.of,
            pause.as_secs()
        );
        attempt = Attempt { number: attempt.number + 1, previous: Some(run), ..attempt };
        Signals::catch()?.or_stop(sleep(pause)).await?;
    }
}

/// Records an attempt without a result as failed. A run that had begun is closed in the history already.
async fn recorded(options: &Options, run: RunId, cause: &str) -> Result<(), StoreError> {
    let context = state::context_to_read(options).await;
    match history::of(&*context.history_store, run).await? {
        Some(_) => Ok(()),
        None => record_failure(&context, options, cause).await.map(drop),
    }
}

async fn attempt_once(
    options: &Options,
    run: RunId,
    start: &RunStart<'_>,
    telemetry: &Arc<Telemetry>,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let (time, mut signals) = (RunTime::begin(now_ms(), options.max_runtime), Signals::catch()?);
    let net = match start.workers {
        Some((connections, _)) => Some(signals.or_stop(connected(connections, options)).await??),
        None => None,
    };
    // This command makes the attempts, not a service: for other processes each one is the last.
    let last =
        Options { attempt: Attempt { of: options.attempt.number, ..options.attempt }, ..options.clone() };
    // Before the plan: a run that could not record what it deletes should not be planned either.
    let env = match &net {
        Some(net) => net.context.clone(),
        None if options.rules.writes() => state::context(options).await.map_err(RunError::from)?,
        None => state::context_to_read(options).await,
    };
    let env = Context { telemetry: Arc::clone(telemetry), ..env };
    let look = preflight_with_terminal(if net.is_some() { &last } else { options }, run, time, show);
    // Nothing has been changed yet, so a signal may end the preflight, or the question, at once.
    let mut looked = signals.or_stop(look).await??;
    looked.note(&env).await;
    check_deletions(options, &looked)?;
    if options.rules.writes() && !start.yes {
        if question::nothing_to_do(&looked) {
            return nothing_to_do(&looked, options, show);
        }
        let mut time = looked.time;
        time.stopped(agreed(&looked, options, &mut signals)).await?;
        looked.time = time;
    }
    signals.or_stop(looked.try_out(options)).await?.map_err(RunError::from)?;
    if looked.estimate.matching_keys == 0 {
        tracing::warn!("{}", no_match::line(&looked, options));
    }
    RunLog::of(&looked.spec).start(&looked.spec);
    if let (Some(net), Some((_, starter))) = (&net, start.workers) {
        return remote::run(net, options, &looked, start.detach, starter, signals, show).await;
    }
    let (result, signal) = run_watched(&env, options, &looked, signals, show).await?;
    let code = remote::printed(&env.records(run), &result, options, show).await?;
    report::write(&result, options).await;
    Ok(signal.filter(|_| result.status == Status::Cancelled).unwrap_or(code))
}

/// The connection to NATS, if no other process works on the job.
async fn connected(connections: &Connections, options: &Options) -> Result<NatsConnection, CommandError> {
    let net = connections.connect("cli", Some(connections::PATIENCE)).await?;
    check_free(&net.context, options).await?;
    Ok(net)
}

/// Asks for confirmation of the plan.
async fn agreed(plan: &Preflight, options: &Options, signals: &mut Signals) -> Result<(), CommandError> {
    asked(plan_page::text(plan, options), question::question(plan, options), signals).await
}

/// Asks `question` below `page`, unless a signal comes first.
pub(super) async fn asked(page: String, question: String, signals: &mut Signals) -> Result<(), CommandError> {
    tokio::select! {
        agreed = tokio::task::spawn_blocking(move || ask(&page, &question, NO_TERMINAL)) => agreed.map_err(io::Error::other)?,
        (code, name) = signals.next() => {
            // End the line of the unanswered question.
            let _ = writeln!(io::stderr());
            Err(CommandError::Stopped(code, name))
        }
    }
}

/// Shows a plan that changes no key, instead of a run. With `--yes` the run happens, and has a result.
fn nothing_to_do(plan: &Preflight, options: &Options, show: OutputMode) -> Result<u8, CommandError> {
    show.print(&plan_page::json(plan, options), || plan_page::text(plan, options))?;
    if !show.json {
        tracing::info!("There is nothing to do, so nothing was started; `--yes` runs it all the same.");
    }
    Ok(exit::DONE)
}

/// Whether another attempt follows, whose result will be printed instead.
pub(super) fn tried_again(result: &CleanupResult, options: &Options) -> bool {
    result.status == Status::Failed && options.attempt.number < options.attempt.of
}

/// Runs with a progress bar, and handles signals. Returns the result, and the exit code of a signal.
pub(super) async fn run_watched(
    context: &Context,
    options: &Options,
    plan: &Preflight,
    signals: Signals,
    show: OutputMode,
) -> Result<(CleanupResult, Option<u8>), CommandError> {
    let (sender, receiver) = watch::channel(Progress::start(embedded::keys(plan)));
    let (seen, signal) = watch::channel(None);
    let (logged, lines) = (receiver.clone(), RunLog::of(&plan.spec));
    let running = Box::pin(embedded::run(context, options, plan, sender));
    let watching = async {
        let shown = progress::show(receiver, Some(&context.pacers), show.quiet);
        let ((), ()) = tokio::join!(shown, lines.announce(logged));
    };
    let done = async {
        let (result, ()) = tokio::join!(running, watching);
        result
    };
    tokio::select! {
        result = done => {
            let stopped = *signal.borrow();
            match (result, stopped) {
                // The run was still waiting for the lock.
                (Err(RunError::Lock(_)), Some((code, name))) => Err(CommandError::Stopped(code, name)),
                (result, stopped) => Ok((result?, stopped.map(|(code, _)| code))),
            }
        }
        left = signals.stop_run(context.records(plan.spec.run), seen) => Err(CommandError::Left(left.code)),
    }
}

impl OutputMode {
    /// Writes `document` as JSON, or `page`, to stdout. Control characters are escaped, so that text from outside cannot
    /// move the cursor. Returns whether stdout is still open.
    pub(super) fn print(self, document: &impl Serialize, page: impl FnOnce() -> String) -> io::Result<bool> {
        if self.json {
            let text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
            return print(&(printable::json(&text) + "\n"));
        }
        print(&printable::page(&page()))
    }
}

/// Writes to stdout. A closed pipe (`| head`) does not change the exit code; returns whether it is still open.
pub(super) fn print(page: &str) -> io::Result<bool> {
    match io::stdout().write_all(page.as_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Shows the plan and asks the question. Fails off a terminal.
pub(super) fn ask(page: &str, question: &str, no_terminal: &'static str) -> Result<(), CommandError> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Err(CommandError::Consent(no_terminal));
    }
    write!(stderr, "{}\n{} ", printable::page(page), wrap(&format!("{question} [y/N]"), 0))?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(CommandError::Consent("nothing was changed, because the plan was not confirmed"))
    }
}
