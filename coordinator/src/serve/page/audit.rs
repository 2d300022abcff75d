//! `GET /api/audit`: searches the keys that runs changed, by run and by the beginning of their names. Names may contain
//! ids of people, so they are shown only where that is allowed; and without them, none can be guessed by its beginning.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use keysweep_model::ids::RunId;
use keysweep_model::time::rfc3339;
use keysweep_state::{AuditQuery, AuditRow, StateError, StateFile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::limits::AUDIT_ROWS_MAX;
use crate::serve::access::Client;
use crate::serve::handlers::{ApiResult, bad_request, failed, refused};
use crate::serve::http::{HttpApi, Pairs, SharedApi, answered, asked};
use crate::serve::request::{FieldKind, RequestField, RequestFields};

/// Rows without a `limit` of the request.
const ROWS: u32 = 100;

/// A search reads the whole audit trail at worst: one at a time.
static SEARCHES: Semaphore = Semaphore::const_new(1);

/// What to search for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::serve) struct AuditRequest {
    /// The id of the run that changed them; all runs if it is not given.
    run: Option<String>,
    /// The beginning of the names of the keys. Refused for clients that do not see names.
    prefix: Option<String>,
    /// The most keys to return: 100 by default, at most 1,000.
    limit: Option<u32>,
}

impl RequestFields for AuditRequest {
    fn fields() -> Vec<RequestField> {
        let limit = FieldKind::Whole(u64::from(AUDIT_ROWS_MAX));
        vec![("run", FieldKind::Text), ("prefix", FieldKind::Text), ("limit", limit)]
    }
}

/// The keys that were found, those handled last first.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct FoundKeys {
    /// In this order.
    keys: Vec<FoundKey>,
    /// Whether there may be more.
    more: bool,
    /// Whether names are left out.
    names_hidden: bool,
}

/// A key that a run changed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FoundKey {
    /// The run that changed it.
    run_id: String,
    /// Unprintable bytes are escaped; null if names are left out.
    key: Option<String>,
    /// What happened to it.
    outcome: &'static str,
    /// Why it was a candidate.
    reason: &'static str,
    /// The server that held it.
    node: String,
    /// Its hash slot.
    slot: u16,
    /// When, RFC 3339.
    time: String,
}

pub(in crate::serve) async fn search(
    State(api): SharedApi,
    Extension(client): Extension<Client>,
    query: Pairs,
) -> Response {
    answered(200, async { found(&api, client, asked(query)?).await }.await)
}

async fn found(api: &HttpApi, client: Client, request: AuditRequest) -> ApiResult<FoundKeys> {
    let service = api.service()?;
    let Some(here) = &service.here else {
        return refused(
            501,
            "the audit trail can be searched where one machine keeps it in a state file; over NATS, \
             `keysweep runs audit RUN` lists the keys of a run",
        );
    };
    let names = api.access.shows_keys(client);
    let prefix = request.prefix.unwrap_or_default();
    if !names && !prefix.is_empty() {
        return refused(403, "names of keys are not shown: set `dashboard_keys = true` under `[serve]`");
    }
    let run = request.run.filter(|run| !run.is_empty()).map(|run| run.parse::<RunId>());
    let run = run.transpose().map_err(|_| bad_request("`run` is not a run id"))?;
    let limit = request.limit.unwrap_or(ROWS);
    let query = AuditQuery {
        run,
        prefix: prefix.into_bytes(),
        since_ms: 0,
        all: false,
        limit: limit.saturating_add(1),
    };
    let Ok(_turn) = SEARCHES.try_acquire() else {
        return refused(503, "another search of the audit trail goes on; try again in a moment");
    };
    let mut rows = rows(here.file(), query).await.map_err(failed)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let keys = rows.into_iter().map(|row| FoundKey::of(&row, names)).collect();
    Ok(FoundKeys { keys, more, names_hidden: !names })
}

/// Searches over a connection of its own, so that runs in progress do not wait for it.
async fn rows(file: &StateFile, query: AuditQuery) -> Result<Vec<AuditRow>, StateError> {
    StateFile::opened_read_only(file.path().to_owned()).await?.search(query).await
}

impl FoundKey {
    fn of(row: &AuditRow, names: bool) -> Self {
        Self {
            run_id: row.run.clone(),
            key: names.then(|| row.key.to_string()),
            outcome: row.outcome.into(),
            reason: row.reason.into(),
            node: row.node.clone(),
            slot: row.slot,
            time: rfc3339(row.at_ms),
        }
    }
}
