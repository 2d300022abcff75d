//! `keysweep serve` without NATS: one process with the schedules, the runs, the samples, the alerts and the API of this
//! machine, on its state file.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use coordinator::process_id::myself;
use coordinator::serve::{KeptIn, ServedJob, serve_here};
use keysweep_config::Settings;
use keysweep_http::Integrations;
use keysweep_runtime::context::{Context, Timing};
use keysweep_state::{FILE_NAME, ServiceLock, ServiceNotice, StateFile};
use keysweep_tasks::supervision::TaskGroup;
use keysweep_telemetry::Role;
use tokio::sync::watch;

use super::admin::{self, AdminRoutes, Health};
use super::error::CommandError;
use super::here::{folder, import};
use super::http_access::{AdminTls, HttpService, HttpSettings};
use super::reload::{ReadSettings, Reloader};
use super::roles::{served_jobs, until_drained};
use super::signals::Signals;
use super::telemetry;

/// What the log calls this process.
const NAME: &str = "the service";

/// `keysweep serve` without NATS. `read` reads the settings again.
///
/// # Errors
/// When a job's settings or the state file cannot be used, or runs are not stopped in time.
pub async fn serve(settings: &[Settings], read: ReadSettings<'_>) -> Result<u8, CommandError> {
    let mut signals = Signals::catch()?;
    let (jobs, folder) = (served_jobs(settings)?, folder(settings)?);
    let scope = scope(&jobs)?;
    let accept = |new: &[Settings]| {
        let jobs = served_jobs(new)?;
        match self::folder(new)? == folder && self::scope(&jobs)? == scope {
            true => Ok(jobs),
            false => Err(CommandError::Usage(
                "the jobs have another `state_dir` or Redis address; restart the service".to_owned(),
            )),
        }
    };
    let http = HttpService::new(HttpSettings::read(settings, settings)?);
    let reloader = Reloader::new(settings, read, &accept, &http)?;
    for job in settings {
        import(job).await;
    }
    let file = StateFile::opened(folder.join(FILE_NAME)).await?;
    let lock = Arc::new(ServiceLock::take(folder.to_owned()).await?);
    let (health, telemetry) = (Arc::new(Health::of_process("starting\n")?), telemetry::of(Role::ALL));
    let mut tasks = TaskGroup::default();
    let routes = AdminRoutes {
        health: Arc::clone(&health),
        telemetry: Arc::clone(&telemetry),
        api: Some(http.api.router()),
    };
    let address = admin::start(&mut tasks, admin::address(settings, true), http.tls(), routes).await?;
    let (held, tls, served) = (Arc::clone(&lock), http.tls(), reloader.jobs());
    tasks.start("the notice for commands", async move { announce(&held, address, tls, served).await });
    let context = Context { telemetry, ..context(&jobs) };
    health.report(&mut tasks);
    let ready = async {
        http.api.attached().await;
        health.ready(None);
        tracing::info!("{NAME} is ready, with its state in `{}`", folder.join(FILE_NAME).display());
    };
    let work = async |shutdown| {
        let (kept, jobs, who) = (KeptIn { file, scope: &scope }, reloader.jobs(), myself());
        reloader.during(serve_here(&context, kept, jobs, &who, shutdown, &http.api)).await
    };
    until_drained(NAME, &mut signals, &health, ready, work).await
}

/// Tells commands on this machine which jobs the service has, and where it listens; never returns.
async fn announce(
    lock: &ServiceLock,
    address: Option<SocketAddr>,
    mut tls: AdminTls,
    mut jobs: watch::Receiver<Vec<ServedJob>>,
) -> Result<(), Infallible> {
    loop {
        let names = jobs.borrow_and_update().iter().map(|job| job.options.job.clone()).collect();
        let notice = ServiceNotice { address, tls: tls.borrow_and_update().is_some(), jobs: names };
        if let Err(e) = lock.announce(&notice) {
            tracing::warn!("`keysweep run` on this machine does not mention this service: {e}");
        }
        let changed = tokio::select! {
            changed = jobs.changed() => changed,
            changed = tls.changed() => changed,
        };
        if changed.is_err() {
            return pending().await;
        }
    }
}

/// The scope that all jobs have.
fn scope(jobs: &[ServedJob]) -> Result<String, CommandError> {
    let scopes: BTreeSet<&String> = jobs.iter().map(|job| &job.options.state.scope).collect();
    match scopes.into_iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).clone()),
        _ => Err(CommandError::Usage(
            "some jobs have their Redis address in the job file, and others do not: name all of them there"
                .to_owned(),
        )),
    }
}

/// How all jobs reach their Redis deployments, webhooks and metrics.
fn context(jobs: &[ServedJob]) -> Context {
    let options = || jobs.iter().map(|job| &job.options);
    let access: BTreeMap<_, _> =
        options().map(|options| (options.alias.clone(), options.access.clone())).collect();
    let outside = options().map(|options| (options.job.clone(), options.integrations.clone()));
    let integrations = Arc::new(Integrations::new(outside.collect::<Vec<_>>()));
    Context { integrations, ..Context::in_process(access, Timing::default()) }
}
