//! What the outside learns of a process: its state, by HTTP for an orchestrator and by messages to a service manager, and
//! metrics for Prometheus. The service also serves its API here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;
use keysweep_config::{ConfigError, Environment, Setting, Settings};
use keysweep_nats::Nats;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_telemetry::{Exposition, Telemetry};
use tokio::time::sleep;

use super::admin_requests::counted;
use super::error::CommandError;
use super::http_access::{AdminTls, of_admin};
use super::listen;
use super::service_manager::{ProcessState, ServiceManager};

/// How often the service manager receives what has changed.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The state of this process that readiness depends on.
pub(super) struct Health {
    /// The connection to NATS, if it needs one.
    ready: OnceLock<Option<Nats>>,
    /// What it does until it is ready.
    until_ready: &'static str,
    draining: AtomicBool,
    manager: ServiceManager,
}

impl Health {
    /// This process, which is not ready: what it does until then is `until_ready`, a line.
    pub(super) fn of_process(until_ready: &'static str) -> Result<Self, ConfigError> {
        let manager = ServiceManager::of(&Environment::snapshot()?);
        Ok(Self { ready: OnceLock::new(), until_ready, draining: AtomicBool::new(false), manager })
    }

    /// Keeps the service manager informed until `tasks` is dropped, if there is one.
    pub(super) fn report(self: &Arc<Self>, tasks: &mut TaskGroup) {
        if !self.manager.is_there() {
            return;
        }
        let (alive, followed) = (Arc::clone(self), Arc::clone(self));
        tasks.start("watchdog", async move { alive.manager.stay_alive().await });
        tasks.start("status", async move { followed.follow().await });
    }

    /// Tells the service manager what changes without a call, such as a lost connection; never returns.
    async fn follow(&self) -> Result<(), Infallible> {
        loop {
            self.report_state();
            sleep(STATUS_EVERY).await;
        }
    }

    fn report_state(&self) {
        let (code, status) = self.readiness();
        let stopping = self.draining.load(Ordering::Relaxed);
        let ready = code == StatusCode::OK;
        self.manager.report(ProcessState { status: status.trim_end(), ready, stopping });
    }

    /// Records that the process can work; over NATS: that it is connected, and its streams and buckets exist. A service
    /// serves its API.
    pub(super) fn ready(&self, nats: Option<Nats>) {
        // Set once; a second call has no effect.
        let _ = self.ready.set(nats);
        self.report_state();
    }

    /// Records that the process takes no more work.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.report_state();
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        let ready = (StatusCode::OK, "ready\n");
        let not = |why| (StatusCode::SERVICE_UNAVAILABLE, why);
        match self.ready.get() {
            _ if self.draining.load(Ordering::Relaxed) => not("draining\n"),
            None => not(self.until_ready),
            Some(Some(nats)) if !nats.is_connected() => not("the connection to NATS is lost\n"),
            Some(_) => ready,
        }
    }
}

/// `GET /metrics`, in the format that the client accepts.
async fn metrics(
    State((telemetry, health)): State<(Arc<Telemetry>, Arc<Health>)>,
    headers: HeaderMap,
) -> impl IntoResponse {
    if let Some(Some(nats)) = health.ready.get() {
        telemetry.nats(nats.is_connected(), nats.connects());
    }
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Exposition::accepted(accept);
    ([(CONTENT_TYPE, format.content_type())], telemetry.text(format))
}

/// Where the settings say that HTTP is served.
pub(super) fn address(jobs: &[Settings], is_coordinator: bool) -> Option<&Setting<Option<SocketAddr>>> {
    // All jobs have the same.
    of_admin(&jobs.first()?.admin_addr, is_coordinator)
}

/// What a process serves over HTTP.
pub(super) struct AdminRoutes {
    pub(super) health: Arc<Health>,
    pub(super) telemetry: Arc<Telemetry>,
    /// The API and the page of a service.
    pub(super) api: Option<Router>,
}

/// Serves `routes` at `address` until `tasks` is dropped; does nothing without an address. Returns where it listens.
pub(super) async fn start(
    tasks: &mut TaskGroup,
    address: Option<&Setting<Option<SocketAddr>>>,
    tls: AdminTls,
    routes: AdminRoutes,
) -> Result<Option<SocketAddr>, CommandError> {
    let Some(Setting { value: Some(address), origin }) = address else { return Ok(None) };
    let listener = listen::at(*address)
        .map_err(|e| CommandError::Usage(format!("failed to listen on `{address}` ({origin}): {e}")))?;
    let scheme = if tls.borrow().is_some() { "https" } else { "http" };
    let listens = listener.local_addr()?;
    tracing::info!(
        "health at {scheme}://{listens}/livez and /readyz, metrics at {scheme}://{listens}/metrics"
    );
    tasks.start("health", listen::serve(listener, tls, routes.router()));
    Ok(Some(listens))
}

impl AdminRoutes {
    fn router(self) -> Router {
        let Self { health, telemetry, api } = self;
        Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(|State(health): State<Arc<Health>>| async move { health.readiness() }))
            .with_state(Arc::clone(&health))
            .route("/metrics", get(metrics))
            .with_state((Arc::clone(&telemetry), health))
            .merge(api.unwrap_or_default())
            .layer(middleware::from_fn_with_state(telemetry, counted))
    }
}
