//! The part of the service that serves its API over HTTP, in JSON, to clients that send the token. The handlers are in
//! `handlers.rs`; `docs/http.md` describes the API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, on};
use keysweep_model::ids::RunId;
use keysweep_tasks::supervision::TaskGroup;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{SetOnce, oneshot};
use tokio::time::timeout;

use super::access::{Access, HttpAccess, refusal};
use super::handlers::{self, ApiError, ApiResult, CancelRequest, bad_request, refused, write};
use super::page::live::{self, Live};
use super::page::{audit, login, report, series};
use super::reload::Current;
use super::request::{FieldKind, RequestField, RequestFields, of_query, parse};
use super::routes::{API, Caller, Operation};
use super::{ServiceState, page};
use crate::limits::{HTTP_BODY_TIMEOUT, REQUEST_BYTES_MAX};

/// Maximum concurrent starts of runs. Each one begins with a preflight.
const STARTS_MAX: usize = 16;

/// The API's description: see `openapi.rs`. A link to `docs/`, since what is published has the files of its folder alone.
const OPENAPI: &str = include_str!("openapi.json");

/// The HTTP API and the page of a service. It is created before the service, and rejects requests until the service is
/// attached.
pub struct HttpApi {
    pub(super) access: Access,
    /// What viewers of the page see.
    pub(super) live: Arc<Live>,
    service: SetOnce<Current>,
    /// Starts of runs in progress. A client that closes its connection does not interrupt them.
    starts: Mutex<TaskGroup>,
}

impl HttpApi {
    /// Serves clients that `access` admits.
    #[must_use]
    pub fn new(access: HttpAccess) -> Arc<Self> {
        let (access, live) = (Access::new(access), Arc::default());
        Arc::new(Self { access, live, service: SetOnce::new(), starts: Mutex::default() })
    }

    /// Admits clients by other rules from now on.
    pub fn change(&self, access: HttpAccess) {
        self.access.change(access);
    }

    /// Serves requests with `service` from now on.
    pub(super) fn attach(&self, service: Current) {
        // Attached once; a second call has no effect.
        let _ = self.service.set(service);
    }

    /// Waits until it carries out requests, which the readiness of the process depends on.
    pub async fn attached(&self) {
        self.service.wait().await;
    }

    pub(super) fn service(&self) -> ApiResult<Arc<ServiceState>> {
        match self.service.get().map(|current| Arc::clone(&current.borrow())) {
            Some(service) if service.shutdown.is_cancelled() => refused(503, "draining"),
            Some(service) => Ok(service),
            None => refused(503, "the service is not ready; `/readyz` says why"),
        }
    }

    /// All routes below `/api`, and those of the page.
    pub fn router(self: &Arc<Self>) -> Router {
        let with_token = routes(Caller::Client)
            .fallback(|| async { error_response(404, "there is no such path; see `docs/http.md`") })
            .layer(middleware::from_fn_with_state(Arc::clone(self), authorize))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
        let api = with_token.merge(routes(Caller::Anyone)).layer(middleware::from_fn(page::with_headers));
        let page = page::routes(self, routes(Caller::Browser));
        Router::new().nest(API, api).merge(page).with_state(Arc::clone(self))
    }
}

/// The routes of the operations that `caller` may ask for.
fn routes(caller: Caller) -> Router<Arc<HttpApi>> {
    let operations = Operation::ALL.iter().filter(|operation| operation.caller() == caller);
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
        Operation::ShowReport => on(method, report::report),
        Operation::CancelRun => on(method, cancel),
        Operation::SearchAudit => on(method, audit::search),
        Operation::Series => on(method, series::series),
        Operation::TtlAdvice => on(method, ttl_advice),
        Operation::FollowLive => on(method, live::events),
        Operation::OpenApi => on(method, openapi),
        Operation::LogIn => on(method, login::log_in),
        Operation::LogOut => on(method, login::log_out),
    }
}

pub(super) type SharedApi = State<Arc<HttpApi>>;

/// Rejects requests of clients that may not send them. Handlers get the [`Client`](super::access::Client) as an
/// extension.
async fn authorize(State(api): SharedApi, request: Request, next: Next) -> Response {
    let client = match api.access.admit(&request, Instant::now()) {
        Ok(client) => client,
        Err(e) => return refusal(&e),
    };
    match whole(request).await {
        Ok(mut request) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(e) => refusal(&e),
    }
}

/// The request with its body, which must arrive within a time and size limit.
async fn whole(request: Request) -> ApiResult<Request> {
    let (parts, body) = with_body(request).await?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// The same, in its parts.
pub(super) async fn with_body(request: Request) -> ApiResult<(Parts, Bytes)> {
    let (parts, body) = request.into_parts();
    let reading = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    let Ok(body) = timeout(HTTP_BODY_TIMEOUT, reading).await else {
        return refused(408, format!("the body took longer than {} s", HTTP_BODY_TIMEOUT.as_secs()));
    };
    Ok((parts, sent(body)?))
}

/// The pairs of a query, if it can be parsed.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn stats(State(api): SharedApi, query: Pairs) -> Response {
    answered(200, async { handlers::stats(api.service()?.as_ref(), &asked(query)?).await }.await)
}

async fn runs(State(api): SharedApi, query: Pairs) -> Response {
    answered(200, async { handlers::runs(api.service()?.as_ref(), &asked(query)?).await }.await)
}

async fn ttl_advice(State(api): SharedApi, query: Pairs) -> Response {
    answered(200, async { handlers::ttl_advice(api.service()?.as_ref(), &asked(query)?).await }.await)
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

pub(super) fn asked<T: RequestFields>(query: Pairs) -> ApiResult<T> {
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

pub(super) fn run_id(text: &str) -> ApiResult<RunId> {
    text.parse().map_err(|_| bad_request(format!("`{}` is not a run id", text.escape_debug())))
}

pub(super) fn answered<T: Serialize>(status: u16, answer: ApiResult<T>) -> Response {
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

pub(super) fn error_response(code: u16, why: &str) -> Response {
    page(code, json!(ErrorBody { error: why }).to_string().into_bytes())
}

fn page(status: u16, mut body: Vec<u8>) -> Response {
    body.push(b'\n');
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
}
