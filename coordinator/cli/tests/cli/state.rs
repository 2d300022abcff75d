//! A state directory of a test, and its file as `sqlite3` shows it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use reaper::limits::BATCHES_PER_NODE;
use reporter::counted;
use serde_json::Value;

use super::{Ended, Keysweep, keysweep};

/// A state directory that is removed at the end.
pub struct State(pub PathBuf);

impl State {
    pub fn new() -> Self {
        let name = format!("keysweep-state-{}", uuid::Uuid::now_v7());
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// The directory, as text.
    pub fn dir(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The state file.
    pub fn file(&self) -> PathBuf {
        self.0.join("keysweep.db")
    }

    pub fn command(&self, args: &[&str]) -> Keysweep {
        keysweep(args).env("KEYSWEEP_STATE_DIR", self.dir()).env("KEYSWEEP_GRACE", "0s")
    }

    pub fn json(&self, args: &[&str]) -> (Ended, Value) {
        let ended = self.command(&[args, &["--json"]].concat()).run();
        let value = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended}"));
        (ended, value)
    }

    /// What `sqlite3` prints.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let ended =
            Command::new("sqlite3").arg("-cmd").arg(".timeout 5000").arg(self.file()).arg(sql).output();
        let ended = ended.expect("sqlite3 is installed");
        assert!(ended.status.success(), "{sql}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim_end().to_owned()
    }

    /// The rows of a query with one column.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> BTreeSet<String> {
        self.sql(sql).lines().map(str::to_owned).collect()
    }

    /// What is `gone` from a standalone server must be named by the run that was killed: as deleted, or as unconfirmed in one
    /// of the batches that were in flight. Returns how many keys are named as deleted.
    #[track_caller]
    pub fn names_what_is_gone(&self, run: &str, gone: &BTreeSet<String>) -> u64 {
        let of = |column: &str, outcome: &str| {
            self.rows(&format!("SELECT {column} FROM audit WHERE run = '{run}' AND outcome = '{outcome}'"))
        };
        let (deleted, in_flight) = (of("key", "deleted"), of("key", "unconfirmed"));
        println!("{} gone, {} deleted, {} in flight", gone.len(), deleted.len(), in_flight.len());
        assert!(deleted.is_subset(gone), "named as deleted, but still there");
        let is_named = |key: &&String| deleted.contains(*key) || in_flight.contains(*key);
        let unnamed: Vec<_> = gone.iter().filter(|key| !is_named(key)).collect();
        assert!(unnamed.is_empty(), "deleted, but nowhere named: {unnamed:?}");
        assert!(of("batch", "unconfirmed").len() <= BATCHES_PER_NODE, "batches in flight");
        deleted.len() as u64
    }

    /// Why the killed run of such deletions was closed: the cause in the history begins with this.
    #[track_caller]
    pub fn is_closed_as_interrupted(&self, run: &str, deleted: u64) {
        let cause = self.sql(&format!("SELECT cause FROM runs WHERE run = '{run}' AND status = 'failed'"));
        let keys = counted(deleted, "key was", "keys were");
        let words = format!("interrupted: its process ended without a result; {keys} deleted");
        assert!(cause.starts_with(&words), "{cause}");
    }

    /// The file must be whole.
    #[track_caller]
    pub fn is_whole(&self) {
        assert_eq!(self.sql("PRAGMA integrity_check"), "ok");
        assert_eq!(self.sql("PRAGMA foreign_key_check"), "");
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
