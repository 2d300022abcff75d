//! The table `entries`: the trait `Store` as SQL.

use keysweep_storage::store::{Created, Entry};
use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

/// Bytes as text if they are UTF-8, so that they can be read and compared with `sqlite3`; as a blob otherwise.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl ToSql for Bytes<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let text = std::str::from_utf8(self.0).is_ok() && !self.0.contains(&0);
        Ok(ToSqlOutput::Borrowed(if text { ValueRef::Text(self.0) } else { ValueRef::Blob(self.0) }))
    }
}

/// The bytes of a text or blob; none of any other value.
pub(crate) fn bytes(value: ValueRef<'_>) -> Vec<u8> {
    value.as_bytes().unwrap_or_default().to_vec()
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    let (revision, key) = (row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?);
    Ok(Entry { key, value: bytes(row.get_ref(2)?), revision, trust: Ok(()) })
}

fn revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// The entry; of several scopes, the newest, if `scope` is `None`.
pub(crate) fn get(conn: &Connection, scope: Option<&str>, key: &str) -> Result<Option<Entry>> {
    let sql = "SELECT revision, key, value FROM entries WHERE key = ?1 AND (?2 IS NULL OR scope = ?2)
               ORDER BY revision DESC LIMIT 1";
    conn.query_row(sql, params![key, scope], entry).optional()
}

pub(crate) fn create(
    conn: &Connection,
    scope: &str,
    key: &str,
    value: &[u8],
    now_ms: u64,
) -> Result<Created> {
    match get(conn, Some(scope), key)? {
        Some(entry) => Ok(Created::Before(entry)),
        None => Ok(Created::Now(insert(conn, scope, key, value, now_ms)?)),
    }
}

/// Replaces the entry if its revision is `expected`; returns the new one, which no entry had before.
pub(crate) fn update(
    conn: &Connection,
    scope: &str,
    key: &str,
    (value, expected): (&[u8], u64),
    now_ms: u64,
) -> Result<Option<u64>> {
    let sql = "DELETE FROM entries WHERE key = ?1 AND scope = ?2 AND revision = ?3";
    match conn.execute(sql, params![key, scope, revision(expected)])? {
        0 => Ok(None),
        _ => insert(conn, scope, key, value, now_ms).map(Some),
    }
}

fn insert(conn: &Connection, scope: &str, key: &str, value: &[u8], now_ms: u64) -> Result<u64> {
    let family = key.split('/').next().unwrap_or_default();
    let sql = "INSERT INTO entries (scope, family, key, written_ms, value) VALUES (?1, ?2, ?3, ?4, ?5)";
    conn.execute(sql, params![scope, family, key, revision(now_ms), Bytes(value)])?;
    Ok(conn.last_insert_rowid().unsigned_abs())
}

/// The scope of the entry `key`; of the newest one, if there are several.
pub(crate) fn scope_of(conn: &Connection, key: &str) -> Result<Option<String>> {
    let sql = "SELECT scope FROM entries WHERE key = ?1 ORDER BY revision DESC LIMIT 1";
    conn.query_row(sql, [key], |row| row.get(0)).optional()
}

/// The first entries below `prefix` after a revision, `max` at most.
pub(crate) fn after(
    conn: &Connection,
    scope: Option<&str>,
    prefix: &str,
    after: u64,
    max: usize,
) -> Result<Vec<Entry>> {
    let family = prefix.split('/').next().unwrap_or_default();
    // By the index of the family, so that reading all entries one after the other reads each row once.
    let sql = "SELECT revision, key, value FROM entries INDEXED BY entries_of_a_family
               WHERE family = ?1 AND revision > ?2 AND substr(key, 1, length(?3)) = ?3
                   AND (?4 IS NULL OR scope = ?4)
               ORDER BY revision LIMIT ?5";
    let scope = scope.map_or(Value::Null, |scope| Value::Text(scope.to_owned()));
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut select = conn.prepare(sql)?;
    select.query_map(params![family, revision(after), prefix, scope, max], entry)?.collect()
}
