//! `GET /`: the page as it is now, rendered with the last runs, so that it says something before its script runs, or
//! without it.

use std::time::{Duration, Instant};

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use keysweep_model::result::Status;
use reporter::{duration, grouped, moment};

use super::snapshot::{JobRow, RunRow, Snapshot};
use super::tagged;
use crate::serve::access::{Client, Role};
use crate::serve::http::{HttpApi, SharedApi};

/// How long the page waits for the state of the service.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The page. Askama escapes all values.
#[derive(Default, Template)]
#[template(path = "index.html")]
struct Page {
    /// What the client may do; `None` if it must log in.
    role: Option<&'static str>,
    acts: bool,
    /// Whether it has a session that it can end.
    can_log_out: bool,
    /// Whether runs are carried out in this process, so that the audit trail can be searched here.
    here: bool,
    /// Whether names of keys are shown.
    names: bool,
    /// Why the rest may be out of date, or is not there.
    problem: Option<String>,
    in_progress: bool,
    jobs: Vec<JobRow>,
    runs: Vec<RunCells>,
}

/// The cells of a run in the table of runs.
struct RunCells {
    id: String,
    job: String,
    status: String,
    class: &'static str,
    dry_run: bool,
    started_at: String,
    started: String,
    took: String,
    stale: String,
    deleted: String,
    started_by: String,
    has_report: bool,
}

pub(super) async fn page(State(api): SharedApi, headers: HeaderMap) -> Response {
    let page = match api.access.browser(&headers, Instant::now()) {
        Some(client) => shown(&api, client).await,
        None => Page::default(),
    };
    // Rendering into memory cannot fail.
    let html = page.render().unwrap_or_else(|e| e.to_string());
    tagged("text/html; charset=utf-8", Bytes::from(html), &headers)
}

async fn shown(api: &HttpApi, client: Client) -> Page {
    let service = api.service();
    let (current, problem) = match &service {
        Ok(_) => (api.live.current(FIRST_WAIT).await, None),
        Err(refusal) => (None, Some(refusal.why.clone())),
    };
    let empty = Snapshot::default();
    let now = current.as_ref().map_or(&empty, |current| &current.page);
    Page {
        role: Some(client.role.into()),
        acts: client.role == Role::Act,
        can_log_out: api.access.has_tokens(),
        here: service.is_ok_and(|service| service.here.is_some()),
        names: api.access.shows_keys(client),
        problem: problem.or_else(|| now.problem.clone()),
        in_progress: !now.running.is_empty(),
        jobs: now.jobs.clone(),
        runs: now.runs.iter().map(RunCells::of).collect(),
    }
}

impl RunCells {
    fn of(run: &RunRow) -> Self {
        let count = |keys: Option<u64>| keys.map_or("–".to_owned(), grouped);
        let status: &str = run.status.map_or("in progress", Into::into);
        Self {
            id: run.run_id.to_string(),
            job: run.job.clone(),
            status: status.to_owned(),
            class: class(run.status),
            dry_run: run.dry_run,
            started_at: run.started_at.clone(),
            started: moment(&run.started_at),
            took: took(run).unwrap_or_else(|| "–".to_owned()),
            stale: count(run.stale_ttl_keys),
            deleted: count(run.cleaned_keys),
            started_by: run.started_by.clone(),
            has_report: run.status.is_some(),
        }
    }
}

/// The CSS class of a status.
fn class(status: Option<Status>) -> &'static str {
    match status {
        None => "calm",
        Some(Status::Completed) => "good",
        Some(Status::Partial | Status::Cancelled) => "warn",
        Some(Status::Failed) => "bad",
    }
}

fn took(run: &RunRow) -> Option<String> {
    let [from, to] = [&run.started_at, run.finished_at.as_ref()?].map(|at| at.parse::<Timestamp>().ok());
    let ms = to?.as_millisecond().saturating_sub(from?.as_millisecond());
    u64::try_from(ms).ok().map(duration)
}
