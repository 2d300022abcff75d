//! What is removed when it is old, or when the file is large; and giving the space back.

use std::time::Duration;

use keysweep_model::duration::millis;
use rusqlite::{Connection, Result, params};

use crate::error::StateError;
use crate::file::StateFile;
use crate::limits::{
    DUE_TIMES_KEPT, EVENTS_KEPT, FILE_BYTES_MAX, HISTORY_RUNS_KEPT, RESULTS_KEPT, SAMPLES_KEPT, VACUUM_PAGES,
};

/// Batches that one transaction removes: at most some ten thousand keys, so that no other write waits for long.
const BATCHES_AT_ONCE: u32 = 16;

/// How long the audit trail is kept, and how large the file may become.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Names of keys older than this are removed.
    pub audit: Duration,
    /// Bytes of the file. Beyond it, the names of the oldest keys are removed.
    pub bytes_max: u64,
}

impl Retention {
    /// Keeps the audit trail for `audit`.
    #[must_use]
    pub fn of(audit: Duration) -> Self {
        Self { audit, bytes_max: FILE_BYTES_MAX }
    }
}

impl StateFile {
    /// Removes what is older than the limits, and for names of keys of `job` than `retention`, allow at the time `now_ms`;
    /// and gives the space back to the file system. Other writes are committed in between.
    ///
    /// # Errors
    /// When the file cannot be written. What was removed by then stays removed.
    pub async fn prune(&self, job: &str, retention: Retention, now_ms: u64) -> Result<(), StateError> {
        let (job, before) = (job.to_owned(), before(now_ms, retention.audit));
        let of = job.clone();
        self.write(move |conn| prune_entries(conn, &of, before, now_ms)).await?;
        loop {
            let job = job.clone();
            if self.write(move |conn| prune_audit(conn, &job, before)).await? == 0 {
                break;
            }
        }
        while self.read(used_bytes).await? > retention.bytes_max {
            if self.write(prune_oldest).await? == 0 {
                break;
            }
        }
        self.write(|conn| {
            conn.execute("DELETE FROM audit_runs WHERE id NOT IN (SELECT run FROM audit_batches)", [])
        })
        .await?;
        while self.vacuum().await? {}
        Ok(())
    }

    /// Gives some free pages back; `false` if there are no more. Not in a transaction with others, because SQLite
    /// vacuums at the end of one.
    async fn vacuum(&self) -> Result<bool, StateError> {
        self.write(|conn| {
            let free = |conn: &Connection| conn.query_row("PRAGMA freelist_count", [], |row| row.get(0));
            let before: i64 = free(conn)?;
            let mut vacuum = conn.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
            // Each step frees one page.
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
            let after: i64 = free(conn)?;
            Ok(0 < after && after < before)
        })
        .await
    }
}

/// The bytes of the pages in use.
fn used_bytes(conn: &Connection) -> Result<u64> {
    let number = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    Ok(pages.saturating_mul(number("page_size")?).unsigned_abs())
}

fn before(now_ms: u64, kept: Duration) -> i64 {
    now_ms.saturating_sub(millis(kept)).cast_signed()
}

/// Whether the run of a row belongs to the job `?1`, by its line in the history. A run without a line belongs to any.
macro_rules! is_of_job {
    ($run:literal) => {
        concat!(
            "coalesce((SELECT iif(json_valid(h.value), h.value ->> '$.job', NULL) FROM entries h
                WHERE h.key = 'history/' || ",
            $run,
            " LIMIT 1), ?1) = ?1"
        )
    };
}

/// Removes some batches of a job that were begun before a time, the oldest first; returns how many.
fn prune_audit(conn: &Connection, job: &str, before: i64) -> Result<usize> {
    let sql = concat!(
        "DELETE FROM audit_batches WHERE id IN
             (SELECT b.id FROM audit_batches b JOIN audit_runs r ON r.id = b.run
              WHERE b.begun_ms < ?2 AND ",
        is_of_job!("r.run"),
        " ORDER BY b.id LIMIT ?3)"
    );
    conn.execute(sql, params![job, before, BATCHES_AT_ONCE])
}

/// Removes some of the oldest batches; returns how many.
fn prune_oldest(conn: &Connection) -> Result<usize> {
    let sql = "DELETE FROM audit_batches WHERE id IN (SELECT id FROM audit_batches ORDER BY id LIMIT ?1)";
    conn.execute(sql, [BATCHES_AT_ONCE])
}

fn prune_entries(conn: &Connection, job: &str, audit_before: i64, now_ms: u64) -> Result<()> {
    let kept = [
        ("events", EVENTS_KEPT),
        ("samples", SAMPLES_KEPT),
        ("summaries", SAMPLES_KEPT),
        ("runs", RESULTS_KEPT),
        ("progress", EVENTS_KEPT),
        ("due", DUE_TIMES_KEPT),
    ];
    let sql = "DELETE FROM entries WHERE family = ?1 AND written_ms < ?2";
    for (family, kept) in kept {
        conn.execute(sql, params![family, before(now_ms, kept)])?;
    }
    // Their keys are `kept/<run>/<task>`.
    let sql = concat!(
        "DELETE FROM entries WHERE family = 'kept' AND written_ms < ?2 AND ",
        is_of_job!("substr(entries.key, 6, 36)")
    );
    conn.execute(sql, params![job, audit_before])?;
    let sql = "DELETE FROM entries WHERE family = 'history' AND revision <= (SELECT revision FROM entries
               WHERE family = 'history' ORDER BY revision DESC LIMIT 1 OFFSET ?1)";
    conn.execute(sql, [HISTORY_RUNS_KEPT.cast_signed()]).map(drop)
}
