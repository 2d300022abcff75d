//! The audit trail in the file. A batch is written in two steps: its keys before the first of them is deleted, and their
//! outcomes before the receipt. A process that is killed between them leaves a batch without outcomes: its keys are
//! named, and are `unconfirmed`.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::ids::{BatchId, NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::ReapBatch;
use keysweep_model::outcome::Outcome;
use keysweep_storage::audit::{AuditEntry, AuditGroup, AuditTrail, Recorded};
use keysweep_storage::records::RecordError;
use keysweep_storage::store::{StoreError, StoreFuture};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::StateError;
use crate::file::StateFile;
use crate::names::{self, SlotKeys};
use crate::retention::Retention;
use crate::schema::IN_FLIGHT;

/// What is written of a batch before its keys are changed.
struct Candidates {
    run: String,
    batch: String,
    node: String,
    at_ms: i64,
    names: String,
    rule: Option<u16>,
}

impl Candidates {
    fn of(batch: &ReapBatch, at_ms: u64) -> serde_json::Result<Self> {
        let groups = batch.groups.iter();
        let groups =
            groups.map(|group| SlotKeys { slot: group.slot, reason: group.reason, keys: group.keys.iter() });
        let names = names::write(groups)?;
        let rule = batch.rule;
        Ok(Self { rule, ..Self::new(batch.run, batch.batch, &batch.node, at_ms, names) })
    }

    fn finished(run: RunId, entry: &AuditEntry) -> serde_json::Result<Self> {
        let names = names::write(entry.groups.iter().map(|group| {
            let keys = group.keys.iter().map(|(key, _)| key);
            SlotKeys { slot: group.slot, reason: group.reason, keys }
        }))?;
        let rule = entry.rule;
        Ok(Self { rule, ..Self::new(run, entry.batch, &entry.node, entry.at_ms, names) })
    }

    fn new(run: RunId, batch: BatchId, node: &NodeId, at_ms: u64, names: String) -> Self {
        let (run, batch, node) = (run.to_string(), batch.to_string(), node.to_string());
        Self { run, batch, node, at_ms: at_ms.cast_signed(), names, rule: None }
    }

    /// Writes the batch unless it is there.
    fn begin(&self, conn: &Connection) -> rusqlite::Result<()> {
        let Self { run, batch, node, at_ms, names, rule } = self;
        conn.execute("INSERT INTO audit_runs (run) VALUES (?1) ON CONFLICT DO NOTHING", [run])?;
        let added = conn.execute(
            "INSERT INTO audit_batches (run, batch, node, begun_ms, rule)
             SELECT id, ?2, ?3, ?4, ?5 FROM audit_runs WHERE run = ?1 ON CONFLICT DO NOTHING",
            params![run, batch, node, at_ms, rule],
        )?;
        if added > 0 {
            let keys = params![conn.last_insert_rowid(), names];
            conn.execute("INSERT INTO audit_keys (batch, names) VALUES (?1, ?2)", keys)?;
        }
        Ok(())
    }
}

impl AuditTrail for StateFile {
    fn begin<'a>(&'a self, batch: &'a ReapBatch, now_ms: u64) -> StoreFuture<'a, ()> {
        async move {
            let candidates = Candidates::of(batch, now_ms).map_err(|e| StoreError(e.to_string()))?;
            Ok(self.write(move |conn| candidates.begin(conn)).await?)
        }
        .boxed()
    }

    fn finish<'a>(&'a self, run: RunId, entry: &'a AuditEntry) -> BoxFuture<'a, Result<(), RecordError>> {
        async move { Ok(self.record_outcomes(run, entry).await.map_err(StoreError::from)?) }.boxed()
    }

    fn next(
        &self,
        run: Option<RunId>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<Recorded<AuditEntry>>, RecordError>> {
        let read = move |conn: &Connection| next(conn, run, revision.cast_signed());
        async move { Ok(self.read(read).await.map_err(StoreError::from)?) }.boxed()
    }

    fn remove_old<'a>(&'a self, job: &'a str, kept: Duration, now_ms: u64) -> StoreFuture<'a, ()> {
        async move { Ok(self.prune(job, Retention::of(kept), now_ms).await?) }.boxed()
    }
}

impl StateFile {
    /// The keys of a batch were nearly always written when it began, so they are copied for the thread that writes only
    /// if no row was changed: then the batch was not tried, or has its outcomes.
    async fn record_outcomes(&self, run: RunId, entry: &AuditEntry) -> Result<(), StateError> {
        let outcomes = entry.groups.iter().flat_map(|group| &group.keys);
        let outcomes: String = outcomes.map(|(_, outcome)| outcome.code()).collect();
        let (batch, at_ms) = (entry.batch.to_string(), entry.at_ms.cast_signed());
        let end = move |conn: &Connection| {
            let sql =
                "UPDATE audit_batches SET ended_ms = ?2, outcomes = ?3 WHERE batch = ?1 AND outcomes IS NULL";
            conn.execute(sql, params![batch, at_ms, outcomes.as_bytes()])
        };
        if self.write(end.clone()).await? == 0 {
            let candidates = Candidates::finished(run, entry).map_err(|e| self.failed(&e.to_string()))?;
            self.write(move |conn| candidates.begin(conn).and_then(|()| end(conn))).await?;
        }
        Ok(())
    }
}

/// The first batch of `run`, or of any run, after the row `after`.
fn next(conn: &Connection, run: Option<RunId>, after: i64) -> rusqlite::Result<Option<Recorded<AuditEntry>>> {
    let sql = format!("{} WHERE {OF_RUN} AND b.id > ?2 ORDER BY b.id LIMIT 1", batches(conn)?);
    let read = |row: &Row<'_>| {
        let run = row.get_ref("run")?.as_str()?.parse();
        let run = run.map_err(|_| FromSqlError::Other("it is not the id of a run".into()))?;
        Ok(Recorded { revision: row.get::<_, i64>("id")?.unsigned_abs(), run, entry: entry(row)? })
    };
    conn.query_row(&sql, params![run.map(|run| run.to_string()), after], read).optional()
}

/// The query for batches: their columns, as [`entry`] reads them, and their runs. A file that is only read may be of a
/// version without rules.
pub(crate) fn batches(conn: &Connection) -> rusqlite::Result<String> {
    let known = "SELECT count(*) FROM pragma_table_info('audit_batches') WHERE name = 'rule'";
    let known: i64 = conn.query_row(known, [], |row| row.get(0))?;
    let rule = if known > 0 { "b.rule" } else { "NULL" };
    Ok(format!(
        "SELECT b.id, b.batch, b.node, coalesce(b.ended_ms, b.begun_ms) AS at_ms, b.outcomes, k.names, r.run,
             {rule} AS rule
         FROM audit_batches b CROSS JOIN audit_runs r ON r.id = b.run JOIN audit_keys k ON k.batch = b.id"
    ))
}

/// Whether a batch is of the run `?1`, or of any run if that is null.
pub(crate) const OF_RUN: &str = "(?1 IS NULL OR b.run = (SELECT id FROM audit_runs WHERE run = ?1))";

/// The batch of a row of [`batches`].
pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let outcomes: Option<Vec<u8>> = row.get("outcomes")?;
    let names = names::read(row.get_ref("names")?.as_str()?).map_err(|e| FromSqlError::Other(e.into()))?;
    // A letter that is missing or unknown is that of a batch in flight.
    let mut letters = outcomes.iter().flatten().map(|code| Outcome::from_code(*code));
    let mut outcome = || letters.next().flatten().unwrap_or(IN_FLIGHT);
    let mut group = |SlotKeys { slot, reason, keys }: SlotKeys<Vec<Key>>| {
        let keys = keys.into_iter().map(|key| (key, outcome())).collect();
        AuditGroup { slot, reason, keys }
    };
    Ok(AuditEntry {
        // An id that is none was not written by us; the entry keeps its keys.
        batch: row.get_ref("batch")?.as_str()?.parse().unwrap_or_else(|_| BatchId::new()),
        node: NodeId::new(row.get::<_, String>("node")?),
        at_ms: row.get::<_, i64>("at_ms")?.unsigned_abs(),
        groups: names.into_iter().map(&mut group).collect(),
        // A number that is none was not written by us.
        rule: row.get::<_, Option<i64>>("rule")?.and_then(|rule| u16::try_from(rule).ok()),
    })
}
