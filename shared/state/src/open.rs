//! Opens the file: creates it for this user alone, recognizes files of others, and brings it to our schema.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use keysweep_files::{FileError, Folder};
use rusqlite::{Connection, OpenFlags, Result};

use crate::error::StateError;
use crate::limits::{LOCK_POLL, LOCK_WAIT, LOG_BYTES_KEPT};
use crate::schema::{APPLICATION_ID, VERSION, migrate};

/// A connection that writes. Creates the file, and its folder, which must belong to this user, if they are missing.
pub(crate) fn writer(path: &Path) -> Result<Connection, StateError> {
    let folder = Folder::private(path.parent().unwrap_or(Path::new(".")))?;
    ours(path)?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match prepare(&conn, path) {
            // SQLite does not wait for the lock when it changes the journal mode of a new file.
            Err(StateError::Locked { .. }) if Instant::now() < until => sleep(LOCK_POLL),
            prepared => {
                prepared?;
                // The name of the file is durable before anything in it counts.
                folder.sync()?;
                return Ok(conn);
            }
        }
    }
}

/// A connection that only reads. The file must exist.
pub(crate) fn reader(path: &Path) -> Result<Connection, StateError> {
    if !path.exists() {
        return Err(StateError::Missing(path.to_owned()));
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let read = version(&conn, path).map(|version| (conn, version));
    let (conn, version) = match read {
        // On a disk that is read-only, readers cannot share memory. Nothing changes there either, unless a writer has
        // the file open, which then has a log.
        Err(StateError::ReadOnly { .. }) if !beside(path, "-wal").exists() => {
            let conn =
                connect(&unchanging(path), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
            let version = version(&conn, path)?;
            (conn, version)
        }
        read => read?,
    };
    if version == 0 { Err(StateError::Missing(path.to_owned())) } else { Ok(conn) }
}

/// The file that SQLite keeps next to `path` with this ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The URI of a file that no process changes.
fn unchanging(path: &Path) -> PathBuf {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    let encode = |byte: &u8| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02x}") };
    let path: String = path.as_os_str().as_encoded_bytes().iter().map(encode).collect();
    format!("file:{path}?immutable=1").into()
}

/// Makes the file, or checks that it is a plain file of this user. An existing file is not opened here: closing it would
/// drop the locks of every connection that this process has to it.
fn ours(path: &Path) -> Result<(), StateError> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.is_file() => return Err(FileError::Kind { path: path.to_owned() }.into()),
        Ok(file) if file.uid() != keysweep_files::user() => {
            let (owner, user) = (file.uid(), keysweep_files::user());
            return Err(FileError::Foreign { path: path.to_owned(), owner, user }.into());
        }
        Ok(_) => return Ok(()),
        Err(_) => {}
    }
    match keysweep_files::create(path, &[]) {
        // Another process was faster.
        Err(e) if e.kind() == Some(io::ErrorKind::AlreadyExists) => Ok(()),
        created => Ok(created?),
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StateError> {
    // Each connection is used under a mutex of ours.
    let opened = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let settings = |conn: &Connection| {
        conn.busy_timeout(LOCK_WAIT)?;
        // What is read may be damaged or forged.
        conn.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
    };
    let conn = opened.map_err(|e| StateError::of(path, &e))?;
    settings(&conn).map_err(|e| StateError::of(path, &e))?;
    Ok(conn)
}

fn prepare(conn: &Connection, path: &Path) -> Result<(), StateError> {
    version(conn, path)?;
    let done = || {
        // Takes effect in a new file only.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            tracing::warn!("`{}` has the journal mode `{mode}`: readers wait for writers", path.display());
        }
        conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
        conn.query_row(&format!("PRAGMA journal_size_limit = {LOG_BYTES_KEPT}"), [], |_| Ok(()))?;
        conn.execute_batch("BEGIN IMMEDIATE")?;
        // Another process may have been faster.
        let from = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let migrated = if from < VERSION { migrate(conn, from) } else { Ok(()) };
        conn.execute_batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        migrated
    };
    done().map_err(|e: rusqlite::Error| StateError::of(path, &e))
}

/// The schema version of the file; 0 if it is new.
fn version(conn: &Connection, path: &Path) -> Result<i64, StateError> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let all = || {
        // At one time: another process may be making the tables.
        let _reading = conn.unchecked_transaction()?;
        let version = number("PRAGMA user_version")?;
        Ok((version, number("PRAGMA application_id")?, number("SELECT count(*) FROM sqlite_schema")?))
    };
    let (version, application, tables) = all().map_err(|e: rusqlite::Error| StateError::of(path, &e))?;
    if application != APPLICATION_ID && (tables > 0 || version != 0) {
        let detail = "it is a SQLite file of another program".to_owned();
        return Err(StateError::Foreign { path: path.to_owned(), detail });
    }
    if version > VERSION {
        return Err(StateError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(version)
}
