//! The roles of workers: one of them in a process, or several. A role is the same code in both.

use std::collections::BTreeSet;

use coordinator::process_id::hostname;
use coordinator::serve::ServeError;
use keysweep_runtime::announce::announce;
use keysweep_runtime::context::Context;
use keysweep_storage::queue::Topic;
use keysweep_storage::worker_notes::WorkerId;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_telemetry::Role;
use reaper::Reaper;
use scanner::Scanner;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::args::{ReaperArgs, ScannerArgs, WorkerArgs, WorkerRole};
use super::connections::{Connections, NatsConnection};
use super::error::CommandError;
use super::roles::{ProcessRoles, role};
use crate::limits::DRAIN_TIMEOUT;

/// `keysweep scanner`.
///
/// # Errors
/// When NATS cannot be used, or work in progress is not finished in time.
pub async fn scanner(connections: &Connections, args: &ScannerArgs) -> Result<u8, CommandError> {
    alone(WorkerRole::Scanner, connections, args.at_once).await
}

/// `keysweep reaper`.
///
/// # Errors
/// As for a scanner.
pub async fn reaper(connections: &Connections, args: &ReaperArgs) -> Result<u8, CommandError> {
    alone(WorkerRole::Reaper, connections, args.worker.at_once).await
}

/// `keysweep reporter`.
///
/// # Errors
/// As for a scanner.
pub async fn reporter(connections: &Connections) -> Result<u8, CommandError> {
    // It follows all runs at once.
    alone(WorkerRole::Reporter, connections, 1).await
}

/// `keysweep worker`.
///
/// # Errors
/// As for a scanner, and when one of the roles ends.
pub async fn worker(connections: &Connections, args: &WorkerArgs) -> Result<u8, CommandError> {
    let roles: BTreeSet<WorkerRole> = args.roles.iter().copied().collect();
    let at_once = args.reaper.worker.at_once;
    let process = ProcessRoles { name: "worker", roles: roles.iter().copied().map(measured).collect() };
    role(&process, connections, None, async move |net: NatsConnection, shutdown| {
        together(roles, &net.context, at_once, shutdown).await
    })
    .await
}

/// The role whose metrics a worker exposes.
fn measured(which: WorkerRole) -> Role {
    match which {
        WorkerRole::Scanner => Role::Scanner,
        WorkerRole::Reaper => Role::Reaper,
        WorkerRole::Reporter => Role::Reporter,
    }
}

/// A process with one role.
async fn alone(which: WorkerRole, connections: &Connections, at_once: u8) -> Result<u8, CommandError> {
    let process = ProcessRoles { name: which.name(), roles: vec![measured(which)] };
    role(&process, connections, None, async move |net: NatsConnection, shutdown| {
        work(which, net.context, at_once, shutdown).await
    })
    .await
}

/// Works in one role until `shutdown`, and says so to coordinators.
async fn work(
    which: WorkerRole,
    context: Context,
    at_once: u8,
    shutdown: CancellationToken,
) -> Result<(), CommandError> {
    let worker = WorkerId { role: which.name().to_owned(), host: hostname(), process: std::process::id() };
    let queue = match which {
        WorkerRole::Scanner => Some(Topic::Tasks),
        WorkerRole::Reaper => Some(Topic::Batches),
        WorkerRole::Reporter => None,
    };
    let own = context.clone();
    tokio::select! {
        ended = only_work(which, context, at_once, shutdown) => ended,
        never = announce(&own, worker, queue) => match never {},
    }
}

async fn only_work(
    which: WorkerRole,
    context: Context,
    at_once: u8,
    shutdown: CancellationToken,
) -> Result<(), CommandError> {
    let at_once = usize::from(at_once);
    match which {
        WorkerRole::Scanner => Ok(Scanner::new(context, shutdown).run(at_once).await?),
        WorkerRole::Reaper => {
            // Check now, and not when the first run waits for it.
            context.backups.check().await?;
            Ok(Reaper::new(context, shutdown).run(at_once).await?)
        }
        WorkerRole::Reporter => Ok(reporter::run(&context, shutdown).await?),
    }
}

/// Works in all of `roles` until `shutdown`. If one of them ends earlier, the others finish their work in progress, and
/// its error is the error of the process.
async fn together(
    roles: BTreeSet<WorkerRole>,
    context: &Context,
    at_once: u8,
    shutdown: CancellationToken,
) -> Result<(), CommandError> {
    let (failed, mut failures) = mpsc::channel(WorkerRole::ALL.len());
    let mut tasks = TaskGroup::default();
    for which in roles {
        let (context, shutdown, failed) = (context.clone(), shutdown.clone(), failed.clone());
        tasks.start(which.name(), async move {
            // When this role ends, by a panic too, the others do.
            let _others = shutdown.clone().drop_guard();
            if let Err(e) = work(which, context, at_once, shutdown).await {
                tracing::error!(error = %e, "{} has failed; the process finishes its work and ends", which.name());
                // There is room for the failure of each role.
                let _ = failed.try_send(e);
            }
            Ok::<(), CommandError>(())
        });
    }
    let out_of_time = async {
        shutdown.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    let ended = tokio::select! {
        panicked = tasks.join() => match panicked.into_iter().next() {
            Some((which, exit)) => Err(ServeError::Part(which, exit).into()),
            None => Ok(()),
        },
        () = out_of_time => Err(CommandError::NotDrained(DRAIN_TIMEOUT.as_secs())),
    };
    // The first failure is the cause of the others.
    failures.try_recv().map_or(ended, Err)
}
