//! The history that earlier versions kept in a file of JSON lines: read once, with what can be read of it, and never
//! written.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use keysweep_model::time::now_ms;
use rusqlite::{Connection, Result, params};
use serde::Deserialize;

use crate::entries;
use crate::error::StateError;
use crate::file::StateFile;
use crate::limits::{OLD_FILE_BYTES_MAX, OLD_LINE_BYTES_MAX};

/// A line of the file. The first line has no key.
#[derive(Deserialize)]
struct OldLine {
    key: String,
    revision: u64,
    value: String,
}

impl StateFile {
    /// Takes over the entries of the file at `old` into `scope`, unless this was done before or there is no such file.
    /// Returns how many.
    ///
    /// # Errors
    /// When the state file cannot be read or written. An old file that cannot be read is logged.
    pub async fn import(&self, old: &Path, scope: &str) -> Result<usize, StateError> {
        let (path, scope) = (old.to_owned(), scope.to_owned());
        let name = old.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let known = name.clone();
        if !old.exists() || self.read(move |conn| is_imported(conn, &known)).await? {
            return Ok(0);
        }
        let lines = match tokio::task::spawn_blocking(move || read(&path)).await {
            Ok(Ok(lines)) => lines,
            Ok(Err(e)) => {
                tracing::warn!("the former history `{}` cannot be read: {e}", old.display());
                return Ok(0);
            }
            Err(_) => return Ok(0),
        };
        let imported = self.write(move |conn| import(conn, &name, &scope, &lines)).await?;
        tracing::info!("took over {imported} entries of `{}`, which is not used any more", old.display());
        Ok(imported)
    }
}

fn is_imported(conn: &Connection, name: &str) -> Result<bool> {
    conn.query_row("SELECT count(*) > 0 FROM imported WHERE file = ?1", [name], |row| row.get(0))
}

/// The latest value of each key, in the order of their revisions. Damaged lines are left out.
fn read(path: &Path) -> io::Result<Vec<(String, String)>> {
    let mut rest = BufReader::new(std::fs::File::open(path)?).take(OLD_FILE_BYTES_MAX);
    let (mut latest, mut line, mut left_out) = (BTreeMap::new(), Vec::new(), 0_u64);
    loop {
        line.clear();
        if rest.by_ref().take(OLD_LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match serde_json::from_slice::<OldLine>(&line) {
            Ok(OldLine { key, .. }) if key.is_empty() => {}
            Ok(OldLine { key, revision, value }) => {
                latest.insert(key, (revision, value));
            }
            Err(_) => left_out += 1,
        }
    }
    if left_out > 0 {
        tracing::warn!("{left_out} lines of `{}` are damaged; they are skipped", path.display());
    }
    let mut entries: Vec<_> = latest.into_iter().collect();
    entries.sort_by_key(|(_, (revision, _))| *revision);
    Ok(entries.into_iter().map(|(key, (_, value))| (key, value)).collect())
}

fn import(conn: &Connection, name: &str, scope: &str, lines: &[(String, String)]) -> Result<usize> {
    let now = now_ms();
    let sql = "INSERT INTO imported (file, at_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if conn.execute(sql, params![name, now.cast_signed()])? == 0 {
        return Ok(0);
    }
    for (key, value) in lines {
        entries::create(conn, scope, key, value.as_bytes(), now)?;
    }
    Ok(lines.len())
}
