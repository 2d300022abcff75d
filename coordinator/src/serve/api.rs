//! The part of the service that serves its API over NATS, in JSON. The handlers are in `handlers.rs`.

use std::sync::Arc;

use keysweep_nats::{Nats, NatsError, Request, Service};
use keysweep_tasks::supervision::TaskGroup;

use super::ServiceState;
use super::handlers::{self, ApiResult, write};
use super::reload::Current;
use super::request::parse;

/// The endpoint for statistics.
pub const STATS_ENDPOINT: &str = "stats";

/// All endpoints; their subjects are `keysweep.api.<endpoint>`.
const ENDPOINTS: [&str; 3] = [STATS_ENDPOINT, "run", "cancel"];

/// Serves requests until the shutdown.
pub(super) async fn run(current: &Current, nats: &Nats) -> Result<(), NatsError> {
    // One request may run a preflight for a while; the others do not wait for it.
    let mut tasks = TaskGroup::default();
    let mut service = Service::start(nats, env!("CARGO_PKG_VERSION"), &ENDPOINTS).await?;
    let shutdown = current.borrow().shutdown.clone();
    let mut logged = false;
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(_) = tasks.next() => continue,
            request = service.next() => request,
        };
        let Some(request) = request else {
            return Err(NatsError::Request {
                what: "continue to serve".to_owned(),
                cause: "the service ended".to_owned(),
            });
        };
        if let Some(why) = request.no_request {
            // Logged once: the sender may send many.
            if !std::mem::replace(&mut logged, true) {
                tracing::warn!(endpoint = request.endpoint, "rejected an invalid request: {why}");
            }
            request.answer(Err((400, format!("the request is invalid: {why}")))).await;
            continue;
        }
        let shared = Arc::clone(&current.borrow());
        tasks.start(request.endpoint, async move {
            let answer = answer(&shared, &request).await;
            request.answer(answer.map_err(|refusal| (usize::from(refusal.code), refusal.why))).await;
            Ok::<(), NatsError>(())
        });
    }
}

async fn answer(shared: &Arc<ServiceState>, request: &Request) -> ApiResult<Vec<u8>> {
    let body = &request.payload;
    match request.endpoint {
        "run" => write(&handlers::start(shared, &parse(body)?).await?),
        "cancel" => write(&handlers::cancel(shared, parse(body)?).await?),
        _ => write(&handlers::stats(shared, &parse(body)?).await?),
    }
}
