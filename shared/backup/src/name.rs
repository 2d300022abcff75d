//! The names of backup files: `<run>/<milliseconds>-<batch>-<attempt>-<part>.save` for keys with their values, and
//! `<run>/<milliseconds>-<batch>-<attempt>.done` for the outcomes of keys. Pure.
//!
//! The milliseconds are the start of the attempt by the server's clock: sorted by name, an older save of a key comes
//! before a newer one.

use std::fmt;
use std::str::FromStr;

use keysweep_model::ids::{BatchId, RunId};

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// The keys that one attempt at a batch saved: the part with this number (from 0).
    Save(u32),
    /// The outcomes of the keys of a batch.
    Done,
}

/// The name of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The server's clock, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The run.
    pub run: RunId,
    /// The batch.
    pub batch: BatchId,
    /// Distinguishes attempts at one batch: a random number.
    pub attempt: u32,
    /// Its content.
    pub kind: FileKind,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, run, batch, attempt, kind } = self;
        write!(f, "{run}/{at_ms:015}-{batch}-{attempt:08x}")?;
        match kind {
            FileKind::Save(part) => write!(f, "-{part:05}.save"),
            FileKind::Done => f.write_str(".done"),
        }
    }
}

/// A name that is not that of a backup file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign;

impl FromStr for FileName {
    type Err = Foreign;

    fn from_str(name: &str) -> Result<Self, Foreign> {
        let parse = || {
            let (run, file) = name.split_once('/')?;
            let (at_ms, rest) = file.split_once('-')?;
            let (batch, rest) = rest.split_at_checked(36)?;
            let (attempt, rest) = rest.strip_prefix('-')?.split_at_checked(8)?;
            let kind = match rest {
                ".done" => FileKind::Done,
                part => FileKind::Save(part.strip_prefix('-')?.strip_suffix(".save")?.parse().ok()?),
            };
            let attempt = u32::from_str_radix(attempt, 16).ok()?;
            let name = Self {
                at_ms: at_ms.parse().ok()?,
                run: run.parse().ok()?,
                batch: batch.parse().ok()?,
                attempt,
                kind,
            };
            Some(name)
        };
        // Only the canonical spelling is accepted.
        parse().filter(|found: &Self| found.to_string() == name).ok_or(Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written_and_nothing_else_is() {
        let (run, batch) = (RunId::new(), BatchId::new());
        let name = |at_ms, kind| FileName { at_ms, run, batch, attempt: 0xfe, kind };
        for name in [name(1_790_000_000_000, FileKind::Save(12)), name(7, FileKind::Done)] {
            assert_eq!(name.to_string().parse(), Ok(name), "{name}");
        }
        let text = name(7, FileKind::Done).to_string();
        for other in ["", "x/y", &text[1..], &format!("{text}.tmp"), &text.to_uppercase()] {
            assert_eq!(other.parse::<FileName>(), Err(Foreign), "{other}");
        }
        assert!(name(9, FileKind::Done).to_string() < name(10, FileKind::Save(0)).to_string());
    }
}
