//! The part of the service that serves its API over HTTP, in JSON, to clients that send the token. The handlers are in
//! `handlers.rs`; `docs/http.md` describes the API.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, on};
use keysweep_http::constant_time_eq;
use keysweep_model::ids::RunId;
use keysweep_model::secret::Secret;
use keysweep_tasks::supervision::TaskGroup;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ServiceState;
use super::handlers::{self, ApiError, ApiResult, CancelRequest, bad_request, refused, write};
use super::reload::Current;
use super::request::{FieldKind, RequestField, RequestFields, of_query, parse};
use super::routes::{API, Operation};
use crate::limits::{HTTP_BODY_TIMEOUT, REQUEST_BYTES_MAX};

/// Maximum concurrent starts of runs. Each one begins with a preflight.
const STARTS_MAX: usize = 16;

/// The response if no token is set.
const OFF: &str = "the HTTP API is off; to turn it on, set a token with `--api-token-file`, \
                   `KEYSWEEP_API_TOKEN`, or `api_token_file` under `[serve]` in the job file";

/// The API's description: see `openapi.rs`.
const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// The HTTP API of a service. It is created before the service, and rejects requests until the service is attached.
pub struct HttpApi {
    token: Option<Secret>,
    service: OnceLock<Current>,
    /// Starts of runs in progress. A client that closes its connection does not interrupt them.
    starts: Mutex<TaskGroup>,
}

impl HttpApi {
    /// Serves clients that send `token`; without one, the API is off.
    #[must_use]
    pub fn new(token: Option<Secret>) -> Arc<Self> {
        Arc::new(Self { token, service: OnceLock::new(), starts: Mutex::default() })
    }

    /// Serves requests with `service` from now on.
    pub(super) fn attach(&self, service: Current) {
        // Attached once; a second call has no effect.
        let _ = self.service.set(service);
    }

    fn service(&self) -> ApiResult<Arc<ServiceState>> {
        match self.service.get().map(|current| Arc::clone(&current.borrow())) {
            Some(service) if service.shutdown.is_cancelled() => refused(503, "draining"),
            Some(service) => Ok(service),
            None => refused(503, "waiting for NATS"),
        }
    }

    /// All routes below `/api`.
    pub fn router(self: &Arc<Self>) -> Router {
        let with_token = routes(true)
            .fallback(|| async { error_response(404, "there is no such path; see `docs/http.md`") })
            .layer(middleware::from_fn_with_state(Arc::clone(self), authorize))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
        Router::new().nest(API, with_token.merge(routes(false)).with_state(Arc::clone(self)))
    }
}

/// The routes of the operations that need a token, or of those that need none.
fn routes(token: bool) -> Router<Arc<HttpApi>> {
    let operations = Operation::ALL.iter().filter(|operation| operation.needs_token() == token);
    operations
        .fold(Router::new(), |router, operation| router.route(operation.path(), handler(*operation)))
        .method_not_allowed_fallback(|| async { error_response(405, "this path takes another method") })
}

fn handler(operation: Operation) -> MethodRouter<Arc<HttpApi>> {
    let method = operation.method();
    match operation {
        Operation::Stats => on(method, stats),
        Operation::ListRuns => on(method, runs),
        Operation::StartRun => on(method, start),
        Operation::ShowRun => on(method, run),
        Operation::CancelRun => on(method, cancel),
        Operation::OpenApi => on(method, openapi),
    }
}

type SharedApi = State<Arc<HttpApi>>;

/// Rejects requests without the token.
async fn authorize(State(api): SharedApi, request: Request, next: Next) -> Response {
    let Some(token) = &api.token else { return error_response(403, OFF) };
    if presented_token(request.headers()).is_some_and(|given| constant_time_eq(token, given)) {
        return match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => error_response(refusal.code, &refusal.why),
        };
    }
    let mut response =
        error_response(401, "give the token of the HTTP API as `Authorization: Bearer <token>`");
    let challenge = HeaderValue::from_static("Bearer realm=\"keysweep\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// The request with its body, which must arrive within a time and size limit.
async fn whole(request: Request) -> ApiResult<Request> {
    let (parts, body) = request.into_parts();
    let reading = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    let Ok(body) = timeout(HTTP_BODY_TIMEOUT, reading).await else {
        return refused(408, format!("the body took longer than {} s", HTTP_BODY_TIMEOUT.as_secs()));
    };
    Ok(Request::from_parts(parts, Body::from(sent(body)?)))
}

fn presented_token(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The pairs of a query, if it can be parsed.
type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn stats(State(api): SharedApi, query: Pairs) -> Response {
    answered(200, async { handlers::stats(api.service()?.as_ref(), &asked(query)?).await }.await)
}

async fn runs(State(api): SharedApi, query: Pairs) -> Response {
    answered(200, async { handlers::runs(api.service()?.as_ref(), &asked(query)?).await }.await)
}

async fn run(State(api): SharedApi, Path(id): Path<String>) -> Response {
    answered(200, async { handlers::run(api.service()?.as_ref(), run_id(&id)?).await }.await)
}

async fn cancel(
    State(api): SharedApi,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let cancelled = async {
        let (service, run_id, body) = (api.service()?, run_id(&id)?, sent(body)?);
        let CancelBody { cause } = parse(&body)?;
        handlers::cancel(&service, CancelRequest { run_id, cause }).await
    };
    answered(200, cancelled.await)
}

/// The API's description. It is the same for every installation, so that it needs no token.
async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// The body of a request to cancel a run.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CancelBody {
    /// Why, for the result and the history.
    cause: Option<String>,
}

impl RequestFields for CancelBody {
    fn fields() -> Vec<RequestField> {
        vec![("cause", FieldKind::Text)]
    }
}

async fn start(State(api): SharedApi, body: Result<Bytes, BytesRejection>) -> Response {
    let started = async {
        let (service, body) = (api.service()?, sent(body)?);
        let request = parse(&body)?;
        let (answer, answered) = oneshot::channel();
        {
            let mut starts = api.starts.lock().unwrap_or_else(PoisonError::into_inner);
            starts.remove_ended();
            if starts.len() >= STARTS_MAX {
                return refused(503, "too many runs are being started; try again in a moment");
            }
            starts.start("starting a run", async move {
                // The client may have disconnected.
                let _ = answer.send(handlers::start(&service, &request).await);
                Ok::<(), String>(())
            });
        }
        answered.await.unwrap_or_else(|_| refused(500, "the start of the run was cut off"))
    };
    let started = started.await;
    let location = started.as_ref().ok().and_then(|run| format!("/api/runs/{}", run.run_id).parse().ok());
    let mut response = answered(202, started);
    if let Some(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn asked<T: RequestFields>(query: Pairs) -> ApiResult<T> {
    match query {
        Ok(Query(pairs)) => of_query(pairs),
        Err(_) => refused(400, "the query cannot be read: give `name=value`, joined by `&`"),
    }
}

fn sent(body: Result<Bytes, BytesRejection>) -> ApiResult<Bytes> {
    body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError { code: 413, why: format!("the request is longer than {REQUEST_BYTES_MAX} bytes") }
        }
        _ => bad_request("the body was cut off"),
    })
}

fn run_id(text: &str) -> ApiResult<RunId> {
    text.parse().map_err(|_| bad_request(format!("`{}` is not a run id", text.escape_debug())))
}

fn answered<T: Serialize>(status: u16, answer: ApiResult<T>) -> Response {
    match answer.and_then(|answer| write(&answer)) {
        Ok(body) => page(status, body),
        Err(refusal) => error_response(refusal.code, &refusal.why),
    }
}

/// An error response.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(super) struct ErrorBody<'a> {
    /// The reason, for people. Its wording can change between versions.
    error: &'a str,
}

fn error_response(code: u16, why: &str) -> Response {
    page(code, json!(ErrorBody { error: why }).to_string().into_bytes())
}

fn page(status: u16, mut body: Vec<u8>) -> Response {
    body.push(b'\n');
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
}
