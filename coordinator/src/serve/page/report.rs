//! `GET /api/runs/{id}/report`: the report of a run that has ended, as an HTML document without rights.

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use keysweep_model::ids::RunId;
use reporter::printer::html;

use crate::serve::ServiceState;
use crate::serve::access::refusal;
use crate::serve::handlers::{self, ApiResult, failed, refused};
use crate::serve::http::{SharedApi, run_id};

/// The report has its style within, and needs nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; \
                      frame-ancestors 'none'; base-uri 'none'; sandbox";

pub(in crate::serve) async fn report(State(api): SharedApi, Path(id): Path<String>) -> Response {
    let rendered = async {
        let service = api.service()?;
        render(&service, run_id(&id)?).await
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    match rendered.await {
        Ok(page) => (headers, page).into_response(),
        Err(e) => refusal(&e),
    }
}

async fn render(service: &ServiceState, run: RunId) -> ApiResult<String> {
    let records = service.context.records(run);
    if let Some(result) = records.result().await.map_err(failed)? {
        let spec = records.spec().await.map_err(failed)?;
        let name = spec.map_or_else(|| result.job.clone(), |spec| spec.display_name);
        return Ok(html::page(&result, &name));
    }
    // Refuses a run that is not known.
    handlers::run(service, run).await?;
    refused(404, format!("run `{run}` has no report: it has not ended, or has no result any more"))
}
