//! The audit trail in the file. A batch is written in two steps: its keys before the first of them is deleted, and their
//! outcomes before the receipt. A process that is killed between them leaves a batch without outcomes: its keys are
//! named, and are `unconfirmed`.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::ids::{BatchId, NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{ReapBatch, Reason};
use keysweep_model::outcome::Outcome;
use keysweep_storage::audit::{AuditEntry, AuditGroup, AuditTrail};
use keysweep_storage::records::RecordError;
use keysweep_storage::store::{StoreError, StoreFuture};
use rusqlite::{Connection, OptionalExtension, params};

use crate::entries::{Bytes, bytes};
use crate::error::StateError;
use crate::file::StateFile;
use crate::schema::{IN_FLIGHT, code, reason};

/// The keys of a batch as they are written.
struct Candidates {
    run: RunId,
    batch: BatchId,
    node: NodeId,
    at_ms: u64,
    /// Slot, reason and key, in the order of the batch.
    keys: Vec<(u16, Reason, Key)>,
}

impl Candidates {
    fn of(batch: &ReapBatch, at_ms: u64) -> Self {
        let of_group = |group: &keysweep_model::messages::Group| {
            let (slot, reason) = (group.slot, group.reason);
            group.keys.iter().map(move |key| (slot, reason, key.clone())).collect::<Vec<_>>()
        };
        let keys = batch.groups.iter().flat_map(of_group).collect();
        Self { run: batch.run, batch: batch.batch, node: batch.node.clone(), at_ms, keys }
    }

    fn finished(run: RunId, entry: &AuditEntry) -> Self {
        let of_group = |group: &AuditGroup| {
            let (slot, reason) = (group.slot, group.reason);
            group.keys.iter().map(move |(key, _)| (slot, reason, key.clone())).collect::<Vec<_>>()
        };
        let keys = entry.groups.iter().flat_map(of_group).collect();
        Self { run, batch: entry.batch, node: entry.node.clone(), at_ms: entry.at_ms, keys }
    }

    /// Writes the batch unless it is there.
    fn begin(&self, conn: &Connection) -> rusqlite::Result<()> {
        let (run, batch) = (self.run.to_string(), self.batch.to_string());
        conn.execute("INSERT INTO audit_runs (run) VALUES (?1) ON CONFLICT DO NOTHING", [&run])?;
        let added = conn.execute(
            "INSERT INTO audit_batches (run, batch, node, begun_ms)
             SELECT id, ?2, ?3, ?4 FROM audit_runs WHERE run = ?1 ON CONFLICT DO NOTHING",
            params![run, batch, self.node.as_str(), self.at_ms.cast_signed()],
        )?;
        if added == 0 {
            return Ok(());
        }
        let id = conn.last_insert_rowid();
        // In the order of the table: the pages are filled one after the other.
        let mut keys: Vec<_> = (0_i64..).zip(&self.keys).collect();
        keys.sort_by(|(_, (.., one)), (_, (.., other))| one.cmp(other));
        let sql = "INSERT INTO audit_keys (batch, key, n, slot, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = conn.prepare(sql)?;
        for (n, (slot, reason, key)) in keys {
            insert.execute(params![id, Bytes(key.as_bytes()), n, slot, code(*reason)])?;
        }
        Ok(())
    }
}

impl AuditTrail for StateFile {
    fn begin<'a>(&'a self, batch: &'a ReapBatch, now_ms: u64) -> StoreFuture<'a, ()> {
        let candidates = Candidates::of(batch, now_ms);
        async move { Ok(self.write(move |conn| candidates.begin(conn)).await?) }.boxed()
    }

    fn finish<'a>(&'a self, run: RunId, entry: &'a AuditEntry) -> BoxFuture<'a, Result<(), RecordError>> {
        async move { Ok(self.record_outcomes(run, entry).await.map_err(StoreError::from)?) }.boxed()
    }

    fn next(
        &self,
        run: RunId,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<(u64, AuditEntry)>, RecordError>> {
        let read = move |conn: &Connection| next(conn, run, revision.cast_signed());
        async move { Ok(self.read(read).await.map_err(StoreError::from)?) }.boxed()
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
            let candidates = Candidates::finished(run, entry);
            self.write(move |conn| candidates.begin(conn).and_then(|()| end(conn))).await?;
        }
        Ok(())
    }
}

/// The first batch of `run` after the row `after`.
fn next(conn: &Connection, run: RunId, after: i64) -> rusqlite::Result<Option<(u64, AuditEntry)>> {
    let sql = "SELECT b.id, b.batch, b.node, coalesce(b.ended_ms, b.begun_ms), b.outcomes
               FROM audit_runs r JOIN audit_batches b ON b.run = r.id
               WHERE r.run = ?1 AND b.id > ?2 ORDER BY b.id LIMIT 1";
    let found = conn.query_row(sql, params![run.to_string(), after], |row| {
        let (id, batch, node): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((id, batch, node, row.get::<_, i64>(3)?, row.get::<_, Option<Vec<u8>>>(4)?))
    });
    let Some((id, batch, node, at_ms, outcomes)) = found.optional()? else { return Ok(None) };
    let mut select = conn.prepare("SELECT key, slot, reason FROM audit_keys WHERE batch = ?1 ORDER BY n")?;
    let mut rows = select.query([id])?;
    let (mut groups, mut n) = (Vec::<AuditGroup>::new(), 0);
    while let Some(row) = rows.next()? {
        let (key, slot, reason) = (Key::new(bytes(row.get_ref(0)?)), row.get(1)?, reason(row.get(2)?));
        let letter = outcomes.as_ref().and_then(|outcomes| outcomes.get(n).copied());
        let outcome = letter.and_then(Outcome::from_code).unwrap_or(IN_FLIGHT);
        n += 1;
        match groups.last_mut() {
            Some(group) if (group.slot, group.reason) == (slot, reason) => group.keys.push((key, outcome)),
            _ => groups.push(AuditGroup { slot, reason, keys: vec![(key, outcome)] }),
        }
    }
    // An id that is none was not written by us; the entry keeps its keys.
    let batch = batch.parse().unwrap_or_else(|_| BatchId::new());
    let entry = AuditEntry { batch, node: NodeId::new(node), at_ms: at_ms.unsigned_abs(), groups };
    Ok(Some((id.unsigned_abs(), entry)))
}
