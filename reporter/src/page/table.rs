//! A table for both formats. The first rows of a long table are visible, the others collapsed.

use askama::Template;

/// Tables with more rows than this are collapsed.
const ROWS_OPEN: usize = 12;

/// How many rows of a collapsed table stay visible.
const ROWS_FIRST: usize = 10;

/// The type of a column, which determines its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Points in time, never wrapped.
    Time,
    /// Numbers, right-aligned.
    Number,
    /// Identifiers of nodes and keys.
    Code,
    /// `healthy`, `degraded` or `unhealthy`.
    Health,
}

/// A table.
#[derive(Clone, Debug, Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    /// The accessible description.
    pub(super) caption: &'static str,
    /// The columns.
    pub(super) columns: Vec<(&'static str, Kind)>,
    /// The rows, with one cell per column.
    pub(super) rows: Vec<Vec<String>>,
    /// The noun for the rows: `nodes`.
    pub(super) many: &'static str,
    /// Whether long tables are collapsed; `false` if the whole table is collapsible.
    pub(super) folding: bool,
}

impl Table {
    /// Whether rows are collapsed.
    pub(super) fn folds(&self) -> bool {
        self.folding && self.rows.len() > ROWS_OPEN
    }

    fn open(&self) -> &[Vec<String>] {
        if self.folds() { &self.rows[..ROWS_FIRST] } else { &self.rows }
    }

    fn folded(&self) -> &[Vec<String>] {
        if self.folds() { &self.rows[ROWS_FIRST..] } else { &[] }
    }

    /// The visible rows and the collapsed ones.
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

/// How many rows of a table of `rows` rows are visible.
pub(super) fn rows_in_the_open(rows: usize) -> usize {
    if rows > ROWS_OPEN { ROWS_FIRST } else { rows }
}
