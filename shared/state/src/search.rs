//! Searching the audit trail: by run, by the prefix of a key, by time.

use keysweep_model::ids::RunId;
use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_model::outcome::Outcome;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, Row, params};

use crate::entries::bytes;
use crate::error::StateError;
use crate::file::StateFile;
use crate::schema::{IN_FLIGHT, reason};

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

/// How a key is stored.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Blob,
}

impl Form {
    fn of(self, bytes: &[u8]) -> ValueRef<'_> {
        match self {
            Self::Text => ValueRef::Text(bytes),
            Self::Blob => ValueRef::Blob(bytes),
        }
    }
}

/// Keys are texts if they are UTF-8, and blobs otherwise, so there are two ranges to search.
fn search(conn: &Connection, query: &AuditQuery) -> Result<Vec<AuditRow>> {
    let mut found = range(conn, query, Form::Text)?;
    found.extend(range(conn, query, Form::Blob)?);
    found.sort_by(|(batch, row), (other, after)| other.cmp(batch).then_with(|| row.key.cmp(&after.key)));
    found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
    Ok(found.into_iter().map(|(_, row)| row).collect())
}

/// The keys of one form, each with its batch.
fn range(conn: &Connection, query: &AuditQuery, form: Form) -> Result<Vec<(i64, AuditRow)>> {
    // Blobs follow all texts, and nothing follows blobs.
    let end = end(&query.prefix);
    let (end, ends) = match (&end, form) {
        (Some(end), _) => (form.of(end), "AND k.key < ?4"),
        (None, Form::Text) => (ValueRef::Blob(&[]), "AND k.key < ?4"),
        (None, Form::Blob) => (ValueRef::Null, "AND ?4 IS NULL"),
    };
    // The batches first, and in each of them a range of its keys.
    let sql = format!(
        "SELECT r.run, k.key, CAST(substr(b.outcomes, k.n + 1, 1) AS TEXT), k.reason, b.node, k.slot,
             coalesce(b.ended_ms, b.begun_ms), b.id
         FROM audit_batches b CROSS JOIN audit_keys k ON k.batch = b.id CROSS JOIN audit_runs r ON r.id = b.run
         WHERE (?1 IS NULL OR b.run = (SELECT id FROM audit_runs WHERE run = ?1))
             AND coalesce(b.ended_ms, b.begun_ms) >= ?2 AND k.key >= ?3 {ends}
             AND (?5 OR substr(b.outcomes, k.n + 1, 1) IN (x'64', x'65'))
         ORDER BY b.id DESC, k.key LIMIT ?6"
    );
    let run = query.run.map(|run| run.to_string());
    let (start, end) = (ToSqlOutput::Borrowed(form.of(&query.prefix)), ToSqlOutput::Borrowed(end));
    let conditions = params![run, query.since_ms.cast_signed(), start, end, query.all, query.limit];
    let mut select = conn.prepare(&sql)?;
    select.query_map(conditions, |found| Ok((found.get(7)?, row(found)?)))?.collect()
}

fn row(row: &Row<'_>) -> Result<AuditRow> {
    let letter: Option<String> = row.get(2)?;
    let outcome = letter.and_then(|letter| Outcome::from_code(*letter.as_bytes().first()?));
    Ok(AuditRow {
        run: row.get(0)?,
        key: Key::new(bytes(row.get_ref(1)?)),
        outcome: outcome.unwrap_or(IN_FLIGHT),
        reason: reason(row.get(3)?),
        node: row.get(4)?,
        slot: row.get(5)?,
        at_ms: row.get::<_, i64>(6)?.unsigned_abs(),
    })
}

/// The smallest bytes that are greater than all that begin with `prefix`; `None` if there are none.
fn end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        let check = |prefix: &[u8], expected: Option<&[u8]>| assert_eq!(end(prefix).as_deref(), expected);
        check(b"user:", Some(b"user;"));
        check(b"a\xff\xff", Some(b"b"));
        check(b"\xff", None);
        check(b"", None);
    }
}
