//! `keysweep runs`: the remembered runs, on workers or of this machine.

use coordinator::exit;
use coordinator::process_id::myself;
use coordinator::runs::{ProgressView, so_far};
use jiff::Timestamp;
use keysweep_config::Settings;
use keysweep_model::ids::RunId;
use keysweep_runtime::context::Context;
use keysweep_storage::history;
use reporter::grouped;
use serde_json::json;

use super::args::RunsCommand;
use super::connections::{Connections, NatsConnection, PATIENCE};
use super::error::CommandError;
use super::followed::{Followed, options};
use super::remote::{self, DriverSpawner};
use super::report;
use super::run::OutputMode;
use super::run_ref::RunRef;
use super::runs_audit::audit;
use super::runs_list::{list, listed};

/// `keysweep runs …` over NATS.
///
/// # Errors
/// When NATS cannot be used, or there is no such run.
pub async fn runs(
    connections: &Connections,
    command: &RunsCommand,
    starter: &DriverSpawner,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let net = connections.connect("cli", Some(PATIENCE)).await?;
    let found = async |run: &RunRef| run.find(&net.context).await;
    let done = async {
        match command {
            RunsCommand::Attach(args) => {
                attach(connections, &net, found(&args.run).await?, starter, show).await
            }
            RunsCommand::Cancel(args) => cancel(&net.context, found(&args.run).await?, show).await,
            reads => remembered(&net.context, &connections.jobs, reads, show).await,
        }
    };
    let done = done.await;
    net.nats.close().await;
    done
}

/// The commands that only read what is remembered, over NATS or in the state file of this machine.
pub(super) async fn remembered(
    context: &Context,
    jobs: &[Settings],
    command: &RunsCommand,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let found = async |run: &RunRef| run.find(context).await;
    match command {
        RunsCommand::List(args) => list(context, args, show).await,
        RunsCommand::Show(args) => show_one(context, jobs, found(&args.run).await?, show).await,
        RunsCommand::Report(args) => report::report(context, found(&args.run.run).await?, args, show).await,
        RunsCommand::Audit(args) => audit(context, args).await,
        // The callers carry these out.
        RunsCommand::Attach(_) | RunsCommand::Cancel(_) => Ok(exit::DONE),
    }
}

async fn show_one(
    context: &Context,
    jobs: &[Settings],
    run: RunId,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let records = context.records(run);
    if let (Some(result), Some(spec)) = (records.result().await?, records.spec().await?) {
        return remote::printed(&records, &result, &options(jobs, &spec)?, show).await;
    }
    let line = history::of(&*context.history_store, run).await?.ok_or(CommandError::NoRun(run))?;
    let progress = so_far(context, run).await?;
    let document = json!({ "run": line, "progress": progress.map(ProgressView::from) });
    show.print(&document, || {
        let at = progress.filter(|_| line.status.is_none()).map(|progress| {
            let (totals, read) = (progress.totals, progress.read);
            format!(
                "  {}: {} of about {} keys listed, {} stale, {} deleted\n",
                progress.phase,
                grouped(read.listed),
                grouped(progress.keys),
                grouped(read.stale),
                grouped(totals.accounting.deleted)
            )
        });
        listed(&[line], Timestamp::now()) + &at.unwrap_or_default()
    })?;
    Ok(exit::DONE)
}

async fn attach(
    connections: &Connections,
    net: &NatsConnection,
    run: RunId,
    starter: &DriverSpawner,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let followed = Followed::find(&net.context, &connections.jobs, run).await?;
    let watched = Box::pin(remote::watched(net, &followed.options, run, starter, None, show));
    followed.until_signal(watched).await
}

/// `keysweep runs cancel`, by the records in `context`.
pub(super) async fn cancel(context: &Context, run: RunId, show: OutputMode) -> Result<u8, CommandError> {
    let cancelled = coordinator::runs::cancel(context, run, format!("requested by {}", myself())).await?;
    let cancelled = cancelled.ok_or(CommandError::NoRun(run))?;
    let text = match (cancelled.ended, cancelled.cancelled) {
        (true, _) => format!("run {run} has ended already\n"),
        (false, true) => {
            format!("run {run} stops at a safe point; `keysweep runs attach {run}` shows its result\n")
        }
        (false, false) => format!("run {run} was cancelled before\n"),
    };
    show.print(&json!(cancelled), || text)?;
    Ok(exit::DONE)
}
