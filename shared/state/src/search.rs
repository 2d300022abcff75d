//! Searching the audit trail: by run, by the prefix of a key, by time.

use keysweep_model::ids::RunId;
use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_model::outcome::Outcome;
use keysweep_storage::audit::{AuditEntry, AuditGroup};
use rusqlite::{Connection, Result, params};

use crate::audit::{OF_RUN, batches, entry};
use crate::error::StateError;
use crate::file::StateFile;

/// What to search for. Each condition that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Keys of this run.
    pub run: Option<RunId>,
    /// Keys that begin with these bytes.
    pub prefix: Vec<u8>,
    /// Keys that were handled at this time or later, in milliseconds since the epoch.
    pub since_ms: u64,
    /// Whether keys that were not changed are found, too.
    pub all: bool,
    /// The most rows that are returned.
    pub limit: u32,
}

/// A key that a run handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The run, as text.
    pub run: String,
    /// The key.
    pub key: Key,
    /// What happened to it; [`Outcome::Unconfirmed`] also while its batch is in flight.
    pub outcome: Outcome,
    /// Why it was a candidate.
    pub reason: Reason,
    /// The node that held it.
    pub node: String,
    /// Its slot; 0 on standalone servers.
    pub slot: u16,
    /// When it was handled, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The number of its rule, from 0; `None` if the run had no rules.
    pub rule: Option<u16>,
}

impl StateFile {
    /// The keys that `query` describes, those of the newest batch first, and in a batch in the order of the keys.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn search(&self, query: AuditQuery) -> Result<Vec<AuditRow>, StateError> {
        self.read(move |conn| search(conn, &query)).await
    }
}

fn search(conn: &Connection, query: &AuditQuery) -> Result<Vec<AuditRow>> {
    let sql = format!(
        "{} WHERE {OF_RUN} AND coalesce(b.ended_ms, b.begun_ms) >= ?2 ORDER BY b.id DESC",
        batches(conn)?
    );
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let mut select = conn.prepare(&sql)?;
    let mut batches =
        select.query(params![query.run.map(|run| run.to_string()), query.since_ms.cast_signed()])?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(batch) = batches.next()?
    {
        let run: String = batch.get("run")?;
        let mut rows = rows(query, &run, entry(batch)?);
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        found.extend(rows);
    }
    found.truncate(limit);
    Ok(found)
}

/// The keys of a batch that `query` describes.
fn rows(query: &AuditQuery, run: &str, batch: AuditEntry) -> Vec<AuditRow> {
    let AuditEntry { node, at_ms, groups, rule, .. } = batch;
    let wanted = |(key, outcome): &(Key, Outcome)| {
        key.as_bytes().starts_with(&query.prefix) && (query.all || outcome.is_changed())
    };
    let mut found = Vec::new();
    for AuditGroup { slot, reason, keys } in groups {
        let row = |(key, outcome)| {
            let (run, node) = (run.to_owned(), node.to_string());
            AuditRow { run, key, outcome, reason, node, slot, at_ms, rule }
        };
        found.extend(keys.into_iter().filter(wanted).map(row));
    }
    found
}
