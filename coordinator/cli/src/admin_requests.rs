//! Counts the requests to the admin address. Routes and methods are closed sets: a client cannot make labels.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use keysweep_telemetry::Telemetry;

/// What does not exist.
const OTHER: &str = "other";

/// Passes a request on, and counts it with the status of its answer.
pub(super) async fn counted(
    State(telemetry): State<Arc<Telemetry>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let method = method(request.method());
    let answer = next.run(request).await;
    let route = route.as_ref().map_or(OTHER, MatchedPath::as_str);
    telemetry.requested(route, method, answer.status().as_u16());
    answer
}

fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|name| method == name).unwrap_or(OTHER)
}
