//! The blocks that pages consist of. Each printer prints a block in its own form.

use std::borrow::Cow;

use keysweep_model::metrics::{HitPoint, Severity, TtlBucket};
use keysweep_model::ttl_advice::TtlAdvice;

/// Tables with more rows than this are collapsed.
const ROWS_OPEN: usize = 12;

/// How many rows of a collapsed table stay visible.
const ROWS_FIRST: usize = 10;

/// A block.
#[derive(Clone, Debug)]
pub enum Block<'a> {
    /// A sentence.
    Text(String),
    /// A sentence about something that is missing or wrong.
    Problem(String),
    /// A command to copy.
    Command(String),
    /// A judgement.
    Verdict(Verdict),
    /// Figures by name.
    Figures(Vec<Figure>),
    /// A table.
    Table(Table),
    /// Alerts, issues or recommendations.
    Findings(Vec<FindingView>),
    /// A chart. Only HTML has charts; their figures are in the blocks next to them.
    Chart(Chart<'a>),
    /// The heaviest prefixes by several measures.
    Rankings(Vec<Ranking<'a>>),
}

/// How good the news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Something is missing.
    Warning,
    /// A failure.
    Bad,
    /// Neither good nor bad.
    Neutral,
}

impl Tone {
    /// A symbol next to the word, so that colour is not the only indicator.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Warning => "!",
            Self::Bad => "✕",
            Self::Neutral => "■",
        }
    }
}

/// A judgement in one word, and the sentence about it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How good it is.
    pub tone: Tone,
    /// The word.
    pub word: &'static str,
    /// The sentence.
    pub sentence: String,
}

/// A figure with its name.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The name.
    pub label: Cow<'static, str>,
    /// The figure, or that there is none.
    pub value: String,
    /// What the figure refers to.
    pub note: String,
    /// The type of the value.
    pub kind: Kind,
}

impl Figure {
    /// A number or a size.
    #[must_use]
    pub fn number(
        label: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { label: label.into(), value: value.into(), note: note.into(), kind: Kind::Number }
    }

    /// A property that is a text.
    #[must_use]
    pub fn text(label: &'static str, value: impl Into<String>) -> Self {
        Self { kind: Kind::Text, ..Self::number(label, value, "") }
    }

    /// An identifier.
    pub(crate) fn code(label: &'static str, value: impl Into<String>) -> Self {
        Self { kind: Kind::Code, ..Self::number(label, value, "") }
    }

    /// Numbers without notes.
    pub(crate) fn numbers(figures: impl IntoIterator<Item = (&'static str, String)>) -> Vec<Self> {
        figures.into_iter().map(|(label, value)| Self::number(label, value, "")).collect()
    }

    /// Whether the value needs a smaller font.
    pub(crate) fn is_long(&self) -> bool {
        self.value.len() > 11
    }
}

/// The type of a column or a figure, which determines its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Points in time, never wrapped.
    Time,
    /// Numbers, right-aligned.
    Number,
    /// Identifiers of nodes, runs and keys.
    Code,
    /// `healthy`, `degraded` or `unhealthy`.
    Health,
    /// Outcomes of candidates.
    Outcome,
}

/// A table. The first rows of a long table are visible, the others collapsed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The accessible description.
    pub caption: &'static str,
    /// The columns.
    pub columns: Vec<(&'static str, Kind)>,
    /// The rows, with one cell per column.
    pub rows: Vec<Vec<String>>,
    /// The noun for the rows: `nodes`.
    pub many: &'static str,
    /// The line that stands for a table that is collapsed as a whole.
    pub collapsed: Option<&'static str>,
}

impl Table {
    /// A table without columns and rows.
    #[must_use]
    pub fn new(caption: &'static str, many: &'static str) -> Self {
        Self { caption, many, ..Self::default() }
    }

    /// Adds columns of one type.
    #[must_use]
    pub fn columns<const N: usize>(mut self, kind: Kind, names: [&'static str; N]) -> Self {
        self.columns.extend(names.map(|name| (name, kind)));
        self
    }

    /// Sets the rows, with one cell per column.
    #[must_use]
    pub fn rows(self, rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        Self { rows: rows.into_iter().collect(), ..self }
    }

    /// Collapses the whole table below the line `summary`.
    pub(crate) fn collapsed(self, summary: &'static str) -> Self {
        Self { collapsed: Some(summary), ..self }
    }

    /// Whether a table with so many rows is collapsed.
    pub(crate) fn is_long(rows: usize) -> bool {
        rows > ROWS_OPEN
    }

    /// The visible rows and the collapsed ones.
    pub(crate) fn parts(&self) -> [&[Vec<String>]; 2] {
        let long = self.collapsed.is_none() && Self::is_long(self.rows.len());
        let (open, folded) = self.rows.split_at(if long { ROWS_FIRST } else { self.rows.len() });
        [open, folded]
    }

    pub(crate) fn cells<'a>(&'a self, row: &'a [String]) -> impl Iterator<Item = (Kind, &'a String)> {
        self.columns.iter().map(|(_, kind)| *kind).zip(row)
    }
}

/// A sentence with its evidence.
#[derive(Clone, Debug, Default)]
pub struct FindingView {
    /// The severity, if known.
    pub severity: Option<Severity>,
    /// The sentence.
    pub sentence: String,
    /// The rule that fired.
    pub rule: Option<String>,
    /// Since when the alert has been firing.
    pub since: Option<String>,
    /// The figures, by name.
    pub evidence: Vec<(String, String)>,
}

/// The data of a chart.
#[derive(Clone, Debug)]
pub enum Chart<'a> {
    /// The outcomes of the candidates, as parts of a bar.
    Outcomes(Vec<(&'static str, u64)>),
    /// Keys by remaining TTL.
    Ttl(&'a [TtlBucket]),
    /// Parts of a whole by their size, the largest first, with the title.
    Sizes(&'static str, Vec<(String, u64)>),
    /// The hit rate over time, the oldest sample first.
    HitRate(&'a [HitPoint]),
    /// The hit rate that is expected with other TTLs.
    TtlCurve(&'a TtlAdvice),
}

/// The heaviest prefixes by one measure.
#[derive(Clone, Debug)]
pub struct Ranking<'a> {
    /// The measure.
    pub title: &'static str,
    /// The total, and how exact the figures are.
    pub note: String,
    /// The prefixes.
    pub rows: Vec<Ranked<'a>>,
}

/// A row of a ranking.
#[derive(Clone, Debug)]
pub struct Ranked<'a> {
    /// The prefix, truncated.
    pub prefix: Cow<'a, str>,
    /// A key with this prefix, truncated.
    pub sample: Option<Cow<'a, str>>,
    /// The number of keys or bytes, with its bounds.
    pub weight: String,
    /// The share of the total, as text.
    pub share: String,
    /// The number of keys or bytes of the prefix, and of all.
    pub part_of: (u64, u64),
}
