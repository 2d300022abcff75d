//! The page of the service: its files, a login, and the operations of the API that were made for it. It has no framework and
//! no build step, and loads nothing from elsewhere. `docs/service.md` describes it, `docs/design/page.md` says why.

pub(super) mod audit;
mod board;
mod index;
pub(super) mod live;
pub(super) mod login;
pub(super) mod report;
mod sections;
pub(super) mod series;
pub(super) mod snapshot;
mod watch;
pub(super) mod workers;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_128;

use super::access::refusal;
use super::http::{HttpApi, SharedApi};
use crate::limits::REQUEST_BYTES_MAX;

const SCRIPT: &str = "text/javascript; charset=utf-8";

const STYLE: &str = "text/css; charset=utf-8";

const LICENSE: &str = "text/plain; charset=utf-8";

/// A file of the page.
struct PageFile {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

/// The files of the page by path below it. Those of `vendor/` are uPlot's, as they were published.
macro_rules! files {
    ($($media_type:ident $path:literal),+ $(,)?) => {
        [$(PageFile {
            path: concat!("/", $path),
            media_type: $media_type,
            content: include_bytes!($path),
        }),+]
    };
}

static FILES: [PageFile; 18] = files![
    STYLE "app.css",
    SCRIPT "app.js",
    SCRIPT "js/actions.js",
    SCRIPT "js/audit.js",
    SCRIPT "js/cache.js",
    SCRIPT "js/charts.js",
    SCRIPT "js/dom.js",
    SCRIPT "js/findings.js",
    SCRIPT "js/panels.js",
    SCRIPT "js/rules.js",
    SCRIPT "js/running.js",
    SCRIPT "js/service.js",
    SCRIPT "js/slotmap.js",
    SCRIPT "js/text.js",
    SCRIPT "js/ttls.js",
    STYLE "vendor/uplot.css",
    SCRIPT "vendor/uplot.js",
    LICENSE "vendor/LICENSE",
];

/// What the page may load and do: its own files, and requests to its own service.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'";

/// The routes of the page: its files and `operations`.
pub(super) fn routes(api: &Arc<HttpApi>, operations: Router<Arc<HttpApi>>) -> Router<Arc<HttpApi>> {
    let with_files = FILES.iter().fold(operations.route("/", get(index::page)), |router, file| {
        router.route(file.path, get(move |headers: HeaderMap| async move { file.answer(&headers) }))
    });
    with_files
        .layer(from_fn_with_state(Arc::clone(api), guard))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(from_fn(with_headers))
}

/// The page is there as long as any client is served.
async fn guard(State(api): SharedApi, request: Request, next: Next) -> Response {
    if !api.access.is_on() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match api.access.check_browser(&request, Instant::now()) {
        Ok(()) => next.run(request).await,
        Err(e) => refusal(&e),
    }
}

/// Adds the headers of every answer, unless it has its own.
pub(super) async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

impl PageFile {
    fn answer(&self, headers: &HeaderMap) -> Response {
        tagged(self.media_type, Bytes::from_static(self.content), headers)
    }
}

/// `content`, or 304 if the browser has it.
fn tagged(media_type: &'static str, content: Bytes, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:032x}\"", xxh3_128(&content));
    let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
    let caching = [(ETAG, tag.as_str()), (CACHE_CONTROL, "private, no-cache")];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, caching).into_response(),
        false => (caching, [(CONTENT_TYPE, media_type)], content).into_response(),
    }
}
