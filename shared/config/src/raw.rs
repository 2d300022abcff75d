//! The job file after the check of its shape: tables of raw texts with their lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::rules::RawRule;
use super::setting_def::Section;

/// One `[[job]]`, one `[redis.<alias>]`, `[nats]` or `[serve]`. No `Debug`, because it may contain a password.
#[derive(Clone)]
pub(super) struct RawTable {
    /// The kind of table.
    pub(super) section: Section,
    /// The job's name, the alias, `nats` or `serve`.
    pub(super) name: String,
    /// The file, for origins.
    pub(super) path: PathBuf,
    /// The line of the table, or of its name.
    pub(super) line: usize,
    /// The known keys.
    pub(super) entries: BTreeMap<String, RawEntry>,
    /// The rules of a job.
    pub(super) rules: Vec<RawRule>,
}

/// The value or values of one key.
#[derive(Clone)]
pub(super) struct RawEntry {
    /// Each text with its line.
    pub(super) texts: Vec<(String, usize)>,
    /// The key's line.
    pub(super) line: usize,
}

impl RawTable {
    pub(super) fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.path.clone(), line }
    }
}

/// Finds the line and column of a byte in a text.
pub(super) struct LineIndex<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The line, counted from 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).max(1)
    }

    /// The column in characters, counted from 1.
    pub(super) fn column(&self, byte: usize) -> usize {
        let start = self.starts.get(self.line(byte) - 1).copied().unwrap_or_default();
        let before = self.text.char_indices().map(|(at, _)| at);
        before.skip_while(|at| *at < start).take_while(|at| *at < byte).count() + 1
    }
}

/// The directory where relative paths of a file start.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
