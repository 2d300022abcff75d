//! A table that both kinds of page show. A long one has its first rows in the open and the others folded away.

use askama::Template;

/// More rows than this are folded.
const ROWS_OPEN: usize = 12;

/// How many rows of a folded table stay in the open.
const ROWS_FIRST: usize = 10;

/// What a column holds, and so how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words.
    Text,
    /// Moments, never broken.
    Time,
    /// Figures, set to the right.
    Number,
    /// Names of machines and keys.
    Code,
    /// `healthy`, `degraded` or `unhealthy`.
    Health,
}

/// A table.
#[derive(Clone, Debug, Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    /// What it shows, for those who cannot see it.
    pub(super) caption: &'static str,
    /// The columns.
    pub(super) columns: Vec<(&'static str, Kind)>,
    /// The rows, as many cells each as there are columns.
    pub(super) rows: Vec<Vec<String>>,
    /// What the rows are, if they are many: `nodes`.
    pub(super) many: &'static str,
    /// Whether many rows are folded; not where the whole table is.
    pub(super) folding: bool,
}

impl Table {
    /// Whether rows are folded away.
    pub(super) fn folds(&self) -> bool {
        self.folding && self.rows.len() > ROWS_OPEN
    }

    fn open(&self) -> &[Vec<String>] {
        if self.folds() { &self.rows[..ROWS_FIRST] } else { &self.rows }
    }

    fn folded(&self) -> &[Vec<String>] {
        if self.folds() { &self.rows[ROWS_FIRST..] } else { &[] }
    }

    /// The parts: those in the open, and those folded away.
    fn parts(&self) -> [&[Vec<String>]; 2] {
        [self.open(), self.folded()]
    }

    fn cells<'a>(
        &'a self,
        row: &'a [String],
    ) -> impl Iterator<Item = (&'a (&'static str, Kind), &'a String)> {
        self.columns.iter().zip(row)
    }
}

/// How many rows of a folded table of `rows` rows are in the open.
pub(super) fn rows_in_the_open(rows: usize) -> usize {
    if rows > ROWS_OPEN { ROWS_FIRST } else { rows }
}
