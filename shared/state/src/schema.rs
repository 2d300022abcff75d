//! The tables and views of the state file, and their versions (`PRAGMA user_version`).
//!
//! `entries` has what the trait `Store` stores, JSON as text; the views `runs`, `samples`, `alerts` and `events` show it
//! in columns. The audit trail has tables of its own, because it is nearly all of the file.
//!
//! The keys of a batch are one text (see `names.rs`) in a row of its own, which is written once, before the first of them
//! is deleted. Their outcomes are in the row of the batch, a letter per key: what follows the deletion is one short
//! update.

use keysweep_model::outcome::Outcome;
use rusqlite::{Connection, Result};

/// Identifies state files among the files of SQLite: `kswp`.
pub(crate) const APPLICATION_ID: i64 = 0x6b73_7770;

/// The schema that this version writes.
pub(crate) const VERSION: i64 = 2;

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
    batch INTEGER PRIMARY KEY REFERENCES audit_batches ON DELETE CASCADE,
    names TEXT NOT NULL
) STRICT;
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

/// From version 2 on, batches have the rule of their keys, from 0; null if the run had no rules.
const RULES: &str = "
DROP VIEW IF EXISTS deleted_keys;
DROP VIEW IF EXISTS audit;
ALTER TABLE audit_batches ADD COLUMN rule INTEGER;
";

/// The views of the audit trail: `audit` with all candidates, `deleted_keys` with those that were deleted. Keys that are no
/// text look like blobs of SQL: `x'ff00'`.
fn audit_views() -> String {
    let outcomes: String = (0..=u8::MAX)
        .filter_map(Outcome::from_code)
        .map(|outcome| format!(" WHEN '{}' THEN '{}'", outcome.code(), <&str>::from(outcome)))
        .collect();
    let in_flight: &str = IN_FLIGHT.into();
    format!(
        "CREATE VIEW audit AS SELECT r.run AS run,
             CASE k.type WHEN 'text' THEN k.value ELSE 'x''' || (k.value ->> '$.hex') || '''' END AS key,
             CASE CAST(substr(b.outcomes, (g.value ->> 2) + k.key + 1, 1) AS TEXT){outcomes} ELSE '{in_flight}' END
                 AS outcome,
             lower(g.value ->> 1) AS reason, b.node AS node, g.value ->> 0 AS slot,
             strftime('%Y-%m-%dT%H:%M:%SZ', coalesce(b.ended_ms, b.begun_ms) / 1000, 'unixepoch') AS at,
             b.batch AS batch, b.rule + 1 AS rule
         FROM audit_runs r JOIN audit_batches b ON b.run = r.id JOIN audit_keys n ON n.batch = b.id,
             json_each(n.names) g, json_each(g.value, '$[3]') k;
         CREATE VIEW deleted_keys AS SELECT run, key, reason, node, slot, at, rule FROM audit WHERE outcome = 'deleted';"
    )
}

/// Brings the file from its version to ours, in the transaction of the caller.
pub(crate) fn migrate(conn: &Connection, from: i64) -> Result<()> {
    if from < 1 {
        conn.execute_batch(TABLES)?;
        conn.execute_batch(VIEWS)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if from < 2 {
        conn.execute_batch(RULES)?;
        conn.execute_batch(&audit_views())?;
    }
    conn.pragma_update(None, "user_version", VERSION)
}
