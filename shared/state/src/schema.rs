//! The tables and views of the state file, and their versions (`PRAGMA user_version`).
//!
//! `entries` has what the trait `Store` stores, JSON as text; the views `runs`, `samples`, `alerts` and `events` show it
//! in columns. The audit trail has tables of its own, because it is nearly all of the file. Measured with a million keys
//! of 27 bytes in batches of 1,000 (SQLite 3.40): 44 MiB as bare rows, 83 with an index by key, 48 as a table ordered by
//! run and key, 47 as it is here, ordered by batch and key. A batch is appended in one piece; the batches of a run are
//! found by an index of batches; a prefix is searched in each batch by itself (16 ms in that million).
//!
//! The outcomes of a batch are in its own row, a letter per key. So the keys are written once, before the first of them
//! is deleted, and what follows the deletion is one short update.

use keysweep_model::messages::Reason;
use keysweep_model::outcome::Outcome;
use rusqlite::{Connection, Result};

/// Identifies state files among the files of SQLite: `kswp`.
pub(crate) const APPLICATION_ID: i64 = 0x6b73_7770;

/// The schema that this version writes.
pub(crate) const VERSION: i64 = 1;

/// The outcome of a key of a batch that is not finished.
pub(crate) const IN_FLIGHT: Outcome = Outcome::Unconfirmed;

const TABLES: &str = "
CREATE TABLE entries (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    family TEXT NOT NULL,
    key TEXT NOT NULL,
    written_ms INTEGER NOT NULL,
    value ANY NOT NULL,
    UNIQUE (key, scope)
) STRICT;
CREATE INDEX entries_of_a_family ON entries (family, revision);
CREATE TABLE imported (file TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE audit_runs (id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE audit_batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES audit_runs ON DELETE CASCADE,
    batch TEXT NOT NULL UNIQUE,
    node TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcomes BLOB
) STRICT;
CREATE INDEX audit_batches_of_a_run ON audit_batches (run, id);
CREATE TABLE audit_keys (
    batch INTEGER NOT NULL REFERENCES audit_batches ON DELETE CASCADE,
    key ANY NOT NULL,
    n INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    PRIMARY KEY (batch, key, n)
) STRICT, WITHOUT ROWID;
";

const VIEWS: &str = "
CREATE VIEW runs AS SELECT
    value ->> '$.runId' AS run, value ->> '$.job' AS job, value ->> '$.redis' AS redis,
    coalesce(value ->> '$.status', 'running') AS status, value ->> '$.startedAt' AS started,
    value ->> '$.finishedAt' AS finished, value ->> '$.startedBy' AS started_by, value ->> '$.dryRun' AS dry_run,
    value ->> '$.scannedKeys' AS scanned_keys, value ->> '$.staleTTLKeys' AS stale_ttl_keys,
    value ->> '$.cleanedKeys' AS cleaned_keys, value ->> '$.totalKeys' AS total_keys,
    value ->> '$.hitRate' AS hit_rate, value ->> '$.cause' AS cause
FROM entries WHERE family = 'history';
CREATE VIEW samples AS SELECT
    strftime('%Y-%m-%dT%H:%M:%SZ', (value ->> '$.atMs') / 1000, 'unixepoch') AS at, value ->> '$.job' AS job,
    value ->> '$.redis' AS redis, value ->> '$.phase' AS phase, value ->> '$.runId' AS run,
    value ->> '$.memoryUsagePercent' AS memory_usage_percent, value -> '$.application' AS application,
    value -> '$.nodes' AS nodes
FROM entries WHERE family = 'samples';
CREATE VIEW alerts AS SELECT
    a.value ->> '$.job' AS job, a.value ->> '$.alert' AS alert, a.value ->> '$.severity' AS severity,
    a.value ->> '$.since' AS since, a.value ->> '$.message' AS message
FROM entries e, json_each(e.value, '$.active') a WHERE e.family = 'alerts';
CREATE VIEW events AS SELECT
    value ->> '$.time' AS time, value ->> '$.type' AS type, value ->> '$.source' AS source,
    value ->> '$.subject' AS subject, value -> '$.data' AS data
FROM entries WHERE family = 'events';
";

/// The code of a reason in `audit_keys`.
pub(crate) fn code(reason: Reason) -> i64 {
    match reason {
        Reason::Stale => 0,
        Reason::Inactive => 1,
    }
}

/// The reason with a code.
pub(crate) fn reason(code: i64) -> Reason {
    if code == 0 { Reason::Stale } else { Reason::Inactive }
}

/// The views of the audit trail: `audit` with all candidates, `deleted_keys` with those that were deleted. The joins are
/// in this order so that a search for keys goes through the batches and not through all keys.
fn audit_views() -> String {
    let outcomes: String = (0..=u8::MAX)
        .filter_map(Outcome::from_code)
        .map(|outcome| format!(" WHEN '{}' THEN '{}'", outcome.code(), <&str>::from(outcome)))
        .collect();
    let reasons: String = [Reason::Stale, Reason::Inactive]
        .map(|reason| format!(" WHEN {} THEN '{}'", code(reason), <&str>::from(reason)))
        .concat();
    let in_flight: &str = IN_FLIGHT.into();
    format!(
        "CREATE VIEW audit AS SELECT r.run AS run, k.key AS key,
             CASE CAST(substr(b.outcomes, k.n + 1, 1) AS TEXT){outcomes} ELSE '{in_flight}' END AS outcome,
             CASE k.reason{reasons} END AS reason, b.node AS node, k.slot AS slot,
             strftime('%Y-%m-%dT%H:%M:%SZ', coalesce(b.ended_ms, b.begun_ms) / 1000, 'unixepoch') AS at,
             b.batch AS batch
         FROM audit_runs r CROSS JOIN audit_batches b ON b.run = r.id CROSS JOIN audit_keys k ON k.batch = b.id;
         CREATE VIEW deleted_keys AS SELECT run, key, reason, node, slot, at FROM audit WHERE outcome = 'deleted';"
    )
}

/// Brings the file from its version to ours, in the transaction of the caller.
pub(crate) fn migrate(conn: &Connection, from: i64) -> Result<()> {
    if from < 1 {
        conn.execute_batch(TABLES)?;
        conn.execute_batch(VIEWS)?;
        conn.execute_batch(&audit_views())?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    conn.pragma_update(None, "user_version", VERSION)
}
