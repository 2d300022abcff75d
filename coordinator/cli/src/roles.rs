//! The long-running processes: each waits for NATS, works until SIGTERM or SIGINT, finishes the work in progress, and
//! ends. The roles of workers are in `worker.rs`.

use std::sync::Arc;

use coordinator::exit;
use coordinator::options::Options;
use coordinator::process_id::myself;
use coordinator::schedule::JobSchedule;
use coordinator::serve::{ServedJob, serve_with_http};
use coordinator::ttl_advice::TtlLooks;
use keysweep_config::Settings;
use keysweep_nats::missing_protections;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_telemetry::Role;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::admin::{self, AdminRoutes, Health};
use super::connections::{Connections, NatsConnection};
use super::error::CommandError;
use super::http_access::{self, HttpService, HttpSettings};
use super::reload::{ReadSettings, Reloader};
use super::signals::Signals;
use super::telemetry;
use crate::limits::DRAIN_TIMEOUT;

/// `keysweep serve` over NATS. `read` reads the settings again.
///
/// # Errors
/// When NATS cannot be used, a run is not released in time, or a job's settings cannot be used.
pub async fn coordinator(connections: &Connections, read: ReadSettings<'_>) -> Result<u8, CommandError> {
    let http = HttpService::new(HttpSettings::read(&connections.jobs, &connections.jobs)?);
    let reloader = Reloader::new(&connections.jobs, read, &served_jobs, &http)?;
    let (who, api) = (myself(), Arc::clone(&http.api));
    let process = ProcessRoles { name: "coordinator", roles: vec![Role::Coordinator] };
    role(&process, connections, Some(&http), async move |net: NatsConnection, shutdown| {
        let jobs = reloader.jobs();
        reloader.during(serve_with_http(&net.context, &net.nats, jobs, &who, shutdown, &api)).await
    })
    .await
}

/// The jobs as a service runs them.
pub(super) fn served_jobs(jobs: &[Settings]) -> Result<Vec<ServedJob>, CommandError> {
    jobs.iter().map(job).collect()
}

fn job(settings: &Settings) -> Result<ServedJob, CommandError> {
    Ok(ServedJob {
        options: Options::from_settings(settings)?,
        action: settings.configured_action(),
        allow_override: settings.allow_override.value.clone(),
        schedule: JobSchedule::of(settings)?,
        attempts: settings.attempts.value,
        backoff: settings.retry_backoff.value,
        sample_every: settings.sample_every.value,
        ttl_looks: TtlLooks::of(settings),
        catch_up: settings.catch_up.value,
    })
}

/// What a process does, and its name in output.
pub(super) struct ProcessRoles {
    pub(super) name: &'static str,
    pub(super) roles: Vec<Role>,
}

/// Runs a process from its start to its end; the coordinator with its `http`.
pub(super) async fn role(
    process: &ProcessRoles,
    connections: &Connections,
    http: Option<&HttpService>,
    work: impl AsyncFnOnce(NatsConnection, CancellationToken) -> Result<(), CommandError>,
) -> Result<u8, CommandError> {
    let (name, mut signals) = (process.name, Signals::catch()?);
    let (health, mut tasks) = (Arc::new(Health::of_process("waiting for NATS\n")?), TaskGroup::default());
    health.report(&mut tasks);
    let telemetry = telemetry::of(&process.roles);
    let tls = match http {
        Some(http) => http.tls(),
        // It never changes.
        None => watch::Sender::new(http_access::tls(&connections.jobs, false)?).subscribe(),
    };
    let routes = AdminRoutes {
        health: Arc::clone(&health),
        telemetry: Arc::clone(&telemetry),
        api: http.map(|http| http.api.router()),
    };
    admin::start(&mut tasks, admin::address(&connections.jobs, http.is_some()), tls, routes).await?;
    let mut net = tokio::select! {
        net = connections.connect(name, None) => net?,
        _ = signals.next() => {
            health.drain();
            return Ok(exit::DONE);
        }
    };
    net.context.telemetry = telemetry;
    let (nats, queue) = (net.nats.clone(), Arc::clone(&net.context.queue));
    let ready = async {
        if let Some(http) = http {
            http.api.attached().await;
        }
        health.ready(Some(nats.clone()));
        tracing::info!("{name} is ready, NATS at {}", nats.urls());
        for protection in missing_protections(&nats, name == "coordinator") {
            tracing::info!("missing protection: {protection}");
        }
    };
    let worked = until_drained(name, &mut signals, &health, ready, |shutdown| work(net, shutdown)).await;
    // Requeue the messages that NATS has prefetched to us; do not wait for a NATS that is down.
    tokio::select! {
        () = queue.close() => {}
        () = sleep(DRAIN_TIMEOUT / 4) => {}
    }
    nats.close().await;
    worked
}

/// Works until a signal, and then finishes the work in progress. `ready` announces that the work has begun.
pub(super) async fn until_drained<W>(
    name: &str,
    signals: &mut Signals,
    health: &Health,
    ready: impl Future<Output = ()>,
    work: impl FnOnce(CancellationToken) -> W,
) -> Result<u8, CommandError>
where
    W: Future<Output = Result<(), CommandError>>,
{
    let shutdown = CancellationToken::new();
    let mut working = Box::pin(announced(work(shutdown.clone()), ready));
    tokio::select! {
        worked = &mut working => worked?,
        (_, signal) = signals.next() => {
            tracing::info!("{signal}: {name} finishes the work in progress");
            health.drain();
            shutdown.cancel();
            tokio::select! {
                worked = timeout(DRAIN_TIMEOUT, working) => {
                    worked.unwrap_or(Err(CommandError::NotDrained(DRAIN_TIMEOUT.as_secs())))?;
                }
                (code, _) = signals.next() => return Ok(code),
            }
        }
    }
    tracing::info!("{name} ends");
    Ok(exit::DONE)
}

/// `work`, beside which `ready` ends or is dropped.
async fn announced<T>(work: impl Future<Output = T>, ready: impl Future<Output = ()>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = ready => {}
    }
    work.await
}
