//! The part of the service that answers programs over NATS, in JSON. What they are answered stands in `answers.rs`.

use std::sync::Arc;

use shared::nats::{Nats, NatsError, Request, Service};
use shared::supervision::TaskGroup;

use super::ServiceState;
use super::handlers::{self, ApiResult, write};
use super::request::parse;

/// Where statistics are asked for.
pub const STATS_ENDPOINT: &str = "stats";

/// All endpoints; their subjects are `keysweep.api.<endpoint>`.
const ENDPOINTS: [&str; 3] = [STATS_ENDPOINT, "run", "cancel"];

/// Answers programs until the shutdown.
pub(super) async fn run(shared: &Arc<ServiceState>, nats: &Nats) -> Result<(), NatsError> {
    // One request may look around in Redis for a while; the others do not wait for it.
    let mut crew = TaskGroup::default();
    let mut service = Service::start(nats, env!("CARGO_PKG_VERSION"), &ENDPOINTS).await?;
    let mut told = false;
    loop {
        let request = tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            Some(_) = crew.next() => continue,
            request = service.next() => request,
        };
        let Some(request) = request else {
            return Err(NatsError::Request {
                what: "go on serving".to_owned(),
                cause: "the service ended".to_owned(),
            });
        };
        if let Some(why) = request.no_request {
            // Once: who sends one may send many.
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(endpoint = request.endpoint, "refused a message that is no request: {why}");
            }
            request.answer(Err((400, format!("the message is no request: {why}")))).await;
            continue;
        }
        let shared = Arc::clone(shared);
        crew.start(request.endpoint, async move {
            let answer = answer(&shared, &request).await;
            request.answer(answer.map_err(|refusal| (usize::from(refusal.code), refusal.why))).await;
            Ok::<(), NatsError>(())
        });
    }
}

async fn answer(shared: &ServiceState, request: &Request) -> ApiResult<Vec<u8>> {
    let body = &request.payload;
    match request.endpoint {
        "run" => write(&handlers::start(shared, &parse(body)?).await?),
        "cancel" => write(&handlers::cancel(shared, parse(body)?).await?),
        _ => write(&handlers::stats(shared, &parse(body)?).await?),
    }
}
