//! `keysweep run --nats`: a run on workers. The run continues if this command dies, whether or not a service drives
//! it: if no service takes it, this command starts a separate driver process.

use std::process::Stdio;
use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::follow::follow;
use coordinator::leader::{LeaderExit, run_as_leader};
use coordinator::lease::{self, LeasePhase, LeaseRecord, ObservedLease};
use coordinator::options::Options;
use coordinator::preflight::Preflight;
use coordinator::process_id::myself;
use coordinator::run_log::{INSTEAD, RunLog};
use coordinator::run_phase::RunPhase;
use coordinator::submit::{Submitted, submit};
use coordinator::{exit, report};
use keysweep_model::ids::RunId;
use keysweep_model::messages::RunSpec;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::context::Context;
use keysweep_storage::records::Records;
use keysweep_tasks::pause::pause;
use reporter::grouped;
use reporter::printer::terminal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::connections::{Connections, NatsConnection};
use super::error::CommandError;
use super::progress;
use super::run::{OutputMode, tried_again};
use super::signals::Signals;
use crate::limits::NATS_GONE_AFTER;

/// How long a run may wait for a service before we start a driver process.
const SERVICE_WAIT: Duration = Duration::from_secs(1);

/// How often the lease of a run is read.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// How long without progress before we warn that workers may be missing.
const IDLE: Duration = Duration::from_secs(10);

/// How to start a driver process: the arguments of this one.
pub struct DriverSpawner {
    /// The connection flags, as they were given.
    pub flags: Vec<String>,
}

/// Starts the planned run, and follows it unless `detach` is set.
pub(super) async fn run(
    net: &NatsConnection,
    options: &Options,
    looked: &Preflight,
    detach: bool,
    starter: &DriverSpawner,
    mut signals: Signals,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let submitted = signals.or_stop(submit(&net.context, options, looked)).await??;
    let run = submitted.run();
    if matches!(submitted, Submitted::Resumed(_)) {
        tracing::warn!("the process that drove an earlier run of the job is gone; resuming run {run}");
    }
    if detach {
        tokio::select! {
            driven = driven(&net.context, &options.job, run, starter) => driven?,
            (code, _) = signals.next() => return Err(CommandError::Detached(code, run)),
        }
        show.print(&serde_json::json!({ "runId": run }), || format!("{run}\n"))?;
        if let Some(why) = &looked.spec.inactive_refused {
            tracing::warn!(target: INSTEAD, "Aggressive cleanup was refused: {why}");
        }
        tracing::info!("`keysweep runs attach {run}` follows it");
        return Ok(exit::DONE);
    }
    watched(net, options, run, starter, Some(signals), show).await
}

/// Follows `run` to its result and prints that. With `signals`, the first one cancels the run; without, the caller
/// handles signals.
pub(super) async fn watched(
    net: &NatsConnection,
    options: &Options,
    run: RunId,
    starter: &DriverSpawner,
    signals: Option<Signals>,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let records = net.context.records(run);
    let (sender, receiver) = watch::channel(Progress::start(0));
    let (seen, signal) = watch::channel(None);
    let (logged, idle, lines) = (receiver.clone(), receiver.clone(), RunLog::with(options, run));
    let ended = CancellationToken::new();
    let following = async {
        let result = follow(&records, &sender).await;
        drop(sender);
        ended.cancel();
        result
    };
    let watching = async {
        let ((), (), (), ()) = tokio::join!(
            progress::show(receiver, None, show.quiet),
            lines.announce(logged),
            warn_if_idle(idle, &ended),
            ensure_driven(&net.context, &options.job, run, starter, &ended)
        );
    };
    let done = async {
        let (result, ()) = tokio::join!(following, watching);
        result
    };
    let stop = async {
        match signals {
            Some(signals) => signals.stop_run(records.clone(), seen).await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = done => result?,
        left = stop => return Err(CommandError::DetachedStopping(left, run)),
    };
    let code = printed(&records, &result, options, show).await?;
    report::write(&result, options).await;
    let stopped = signal.borrow().map(|(code, _)| code);
    Ok(stopped.filter(|_| result.status == Status::Cancelled).unwrap_or(code))
}

/// Prints a result; returns its exit code.
pub(super) async fn printed(
    records: &Records,
    result: &CleanupResult,
    options: &Options,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let shown = shown(result, options, show);
    let cancel = records.cancel().await?;
    shown.map(|()| exit::of_result(result, cancel.map(|cancel| cancel.kind)))
}

/// Prints a result, unless another attempt follows.
pub(super) fn shown(result: &CleanupResult, options: &Options, show: OutputMode) -> Result<(), CommandError> {
    RunLog::with(options, result.run_id).end(result);
    if !tried_again(result, options) {
        show.print(result, || terminal::page(result, &options.display_name))?;
    }
    Ok(())
}

/// Warns that workers may be missing, if there is no progress.
async fn warn_if_idle(progress: watch::Receiver<Progress>, ended: &CancellationToken) {
    let (mut before, mut since, mut warned) = (*progress.borrow(), Instant::now(), false);
    loop {
        if !pause(POLL_EVERY, ended).await {
            return;
        }
        let now = *progress.borrow();
        if now != before {
            (before, since, warned) = (now, Instant::now(), false);
        }
        // Waiting for the grace is not idle.
        let grace = Duration::from_millis(now.waits().map_or(0, |waiting| waiting.grace_ms));
        if since.elapsed() < IDLE + grace || warned {
            continue;
        }
        warned = true;
        let role = match now.phase {
            RunPhase::Planned | RunPhase::Scanning => "scanner",
            RunPhase::Reaping => "reaper",
            RunPhase::Reporting | RunPhase::Ended(_) => "reporter",
        };
        tracing::warn!(
            "no progress for {} s ({} keys listed so far): is a `keysweep {role}` running, and does it reach Redis?",
            IDLE.as_secs(),
            grouped(now.read.listed)
        );
    }
}

/// Makes sure that a process drives the run until it has ended.
async fn ensure_driven(
    context: &Context,
    job: &str,
    run: RunId,
    starter: &DriverSpawner,
    ended: &CancellationToken,
) {
    while !ended.is_cancelled() {
        let checked = tokio::select! {
            () = ended.cancelled() => return,
            checked = driven(context, job, run, starter) => checked,
        };
        if let Err(e) = checked {
            tracing::warn!(error = %e, "failed to check whether a process drives the run");
        }
        if !pause(POLL_EVERY * 4, ended).await {
            return;
        }
    }
}

/// Waits until a process drives the run, or it has ended; starts a driver if none does.
async fn driven(
    context: &Context,
    job: &str,
    run: RunId,
    starter: &DriverSpawner,
) -> Result<(), CommandError> {
    let mut seen: Option<ObservedLease> = None;
    let mut started: Option<Instant> = None;
    loop {
        let Some((hold, revision)) = lease::read_lease(&*context.store, job).await? else { return Ok(()) };
        if hold.run != run || hold.phase == LeasePhase::Free {
            return Ok(());
        }
        let observed = seen.get_or_insert_with(|| ObservedLease::now(hold.clone(), revision));
        let changed = observed.revision != revision;
        observed.observe(hold.clone(), revision);
        if hold.phase == LeasePhase::Driven && (changed || hold.recently_renewed(context.timing.lease)) {
            return Ok(());
        }
        let wait = if hold.phase == LeasePhase::Waiting { SERVICE_WAIT } else { context.timing.lease };
        let recently = started.is_some_and(|at| at.elapsed() < context.timing.lease);
        if observed.unchanged() >= wait && !recently {
            start(run, observed.revision, starter)?;
            started = Some(Instant::now());
        }
        sleep(POLL_EVERY).await;
    }
}

/// Starts a process that drives `run` and outlives us. It acquires the lease only at `revision`.
fn start(run: RunId, revision: u64, starter: &DriverSpawner) -> Result<(), CommandError> {
    use std::os::unix::process::CommandExt;

    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["--quiet", "drive", &run.to_string(), &revision.to_string()]).args(&starter.flags);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A separate process group: Ctrl-C in our terminal is for us.
    command.process_group(0).spawn()?;
    Ok(())
}

/// `keysweep drive`: drives one run to its end; its lease was seen to be acquirable at `revision`. A lease that is
/// lost because NATS was unreachable is acquired again; if NATS stays unreachable for [`NATS_GONE_AFTER`], the process
/// ends.
///
/// # Errors
/// When NATS cannot be used, or the run not be driven.
pub async fn drive(connections: &Connections, run: RunId, revision: u64) -> Result<u8, CommandError> {
    let mut signals = Signals::catch()?;
    let net = connections.connect("coordinator", Some(super::connections::PATIENCE)).await?;
    let spec = net.context.records(run).spec().await?.ok_or(CommandError::NoRun(run))?;
    let shutdown = CancellationToken::new();
    let mut work = Box::pin(drive_on(&net.context, &spec, revision, &shutdown));
    let ended = tokio::select! {
        ended = &mut work => ended,
        _ = signals.next() => {
            shutdown.cancel();
            work.await
        }
    };
    net.nats.close().await;
    ended.map(|()| exit::DONE)
}

async fn drive_on(
    context: &Context,
    spec: &RunSpec,
    revision: u64,
    shutdown: &CancellationToken,
) -> Result<(), CommandError> {
    let mut open_at = revision;
    loop {
        let hold = LeaseRecord::begin(spec.run, spec.alias.clone(), LeasePhase::Driven, &myself());
        let Some(held) = lease::take(&*context.store, &spec.job, Some(open_at), hold).await? else {
            return Ok(());
        };
        match run_as_leader(context, held, shutdown).await? {
            LeaderExit::Ended(_) | LeaderExit::Released => return Ok(()),
            LeaderExit::LeaseLost => {}
        }
        match open_again(context, &spec.job, spec.run, shutdown).await? {
            Some(revision) => open_at = revision,
            None => return Ok(()),
        }
    }
}

/// Waits until the lease of the run, which was lost because NATS was unreachable, is acquirable again. Returns its
/// revision, or `None` if another process drives the run, it has ended, or we must stop.
async fn open_again(
    context: &Context,
    job: &str,
    run: RunId,
    shutdown: &CancellationToken,
) -> Result<Option<u64>, CommandError> {
    let (mut seen, mut away): (Option<ObservedLease>, Option<Instant>) = (None, None);
    while !shutdown.is_cancelled() {
        let (hold, revision) = match lease::read_lease(&*context.store, job).await {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(None),
            // NATS may be unreachable for long and come back, and no other process may exist to drive the run. The
            // wait is bounded all the same.
            Err(e) => {
                if away.get_or_insert_with(Instant::now).elapsed() >= NATS_GONE_AFTER {
                    return Err(e.into());
                }
                tracing::warn!(error = %e, "failed to check whether a process drives the run");
                sleep(POLL_EVERY).await;
                continue;
            }
        };
        away = None;
        let observed = seen.get_or_insert_with(|| ObservedLease::now(hold.clone(), revision));
        if hold.run != run || hold.phase == LeasePhase::Free || observed.revision != revision {
            return Ok(None);
        }
        if hold.is_acquirable(observed.unchanged(), context.timing.lease) {
            return Ok(Some(revision));
        }
        sleep(POLL_EVERY).await;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use futures_util::future::FutureExt;
    use keysweep_runtime::context::Timing;
    use keysweep_storage::store::{Created, Entry, Store, StoreError, StoreFuture, Watch};

    use super::*;

    /// A store whose NATS never comes back: it fails after two minutes.
    struct Gone;

    fn gone<T: Send + 'static>() -> StoreFuture<'static, T> {
        async {
            sleep(Duration::from_secs(120)).await;
            Err(StoreError("no responders".to_owned()))
        }
        .boxed()
    }

    impl Store for Gone {
        fn create(&self, _: &str, _: Vec<u8>) -> StoreFuture<'_, Created> {
            gone()
        }

        fn get(&self, _: &str) -> StoreFuture<'_, Option<Entry>> {
            gone()
        }

        fn update(&self, _: &str, _: Vec<u8>, _: u64) -> StoreFuture<'_, Option<u64>> {
            gone()
        }

        fn next_after(&self, _: &str, _: u64) -> StoreFuture<'_, Option<Entry>> {
            gone()
        }

        fn watch(&self, _: &str) -> StoreFuture<'_, Box<dyn Watch>> {
            gone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_gives_up_a_nats_that_stays_unreachable() {
        let env =
            Context { store: Arc::new(Gone), ..Context::in_process(BTreeMap::new(), Timing::default()) };
        let (begun, never) = (Instant::now(), CancellationToken::new());
        let given_up = open_again(&env, "nightly", RunId::new(), &never).await.expect_err("it gives up");
        assert_eq!(given_up.code(), exit::UNREACHABLE);
        let waited = begun.elapsed();
        assert!(
            waited >= NATS_GONE_AFTER && waited < NATS_GONE_AFTER + Duration::from_secs(600),
            "{waited:?}"
        );
    }
}
