//! What people write for a run: its id, the beginning of it, or `last`.

use std::convert::Infallible;
use std::str::FromStr;

use shared::context::Context;
use shared::history;
use shared::ids::RunId;
use shared::printable::Printable;
use thiserror::Error;

use super::error::CommandError;

/// Ids that an error names at most.
const NAMED_MAX: usize = 10;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunRef {
    /// An id.
    Whole(RunId),
    /// The beginning of one, without hyphens, or what is none.
    Begins(String),
    /// The run that was started last.
    Last,
}

/// Why no run, or not one alone, is meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RefError {
    /// It cannot be an id.
    #[error("`{0}` is no run id, no beginning of one, and not `last`; `keysweep runs list` shows the ids")]
    NoId(String),
    /// None begins so.
    #[error("no run that is remembered has an id that begins with `{0}`; `keysweep runs list` shows them")]
    None(String),
    /// Several begin so.
    #[error("`{text}` is the beginning of {of} run ids, give more of the one that is meant: {named}")]
    Several {
        /// What was written.
        text: String,
        /// How many.
        of: usize,
        /// The newest of them.
        named: String,
    },
    /// There is no last one.
    #[error("no runs are remembered")]
    NoRuns,
}

impl FromStr for RunRef {
    type Err = Infallible;

    /// What is no id is told when it is looked for, in our words.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.parse()) {
            ("last", _) => Self::Last,
            (_, Ok(run)) => Self::Whole(run),
            (_, Err(_)) => Self::Begins(text.to_owned()),
        })
    }
}

impl RunRef {
    /// The run that is meant. One that is written out is not looked for.
    ///
    /// # Errors
    /// When none is meant, or several, or the store fails.
    pub(super) async fn find(&self, context: &Context) -> Result<RunId, CommandError> {
        if let Self::Whole(run) = self {
            return Ok(*run);
        }
        let lines = history::read(&*context.history_store).await?;
        let ids: Vec<RunId> = lines.iter().map(|line| line.run_id).collect();
        Ok(self.among(&ids)?)
    }

    /// The one of `ids`, the oldest first, that is meant.
    fn among(&self, ids: &[RunId]) -> Result<RunId, RefError> {
        let text = match self {
            Self::Whole(run) => return Ok(*run),
            Self::Last => return ids.last().copied().ok_or(RefError::NoRuns),
            Self::Begins(text) => text,
        };
        let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
        let wanted = plain(text);
        if wanted.is_empty() || !wanted.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(RefError::NoId(Printable(text.as_bytes()).to_string()));
        }
        let found: Vec<RunId> =
            ids.iter().copied().filter(|id| plain(&id.to_string()).starts_with(&wanted)).collect();
        match found.as_slice() {
            [] => Err(RefError::None(text.clone())),
            [only] => Ok(*only),
            several => {
                let mut named: Vec<String> =
                    several.iter().rev().take(NAMED_MAX).map(ToString::to_string).collect();
                if several.len() > NAMED_MAX {
                    named.push("…".to_owned());
                }
                Err(RefError::Several { text: text.clone(), of: several.len(), named: named.join(", ") })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = [
        "01a20c9a-6dbc-7348-9a95-dba77261579a",
        "01a20c9a-6dbd-7348-9a95-dba77261579a",
        "01a20c9b-0000-7348-9a95-dba77261579a",
    ];

    fn check(text: &str, expected: Result<&str, &str>) {
        let ids: Vec<RunId> = IDS.iter().map(|id| id.parse().expect("an id")).collect();
        let Ok(run) = text.parse::<RunRef>();
        match (run.among(&ids), expected) {
            (Ok(found), Ok(id)) => assert_eq!(found.to_string(), id),
            (Err(e), Err(words)) => assert!(e.to_string().contains(words), "{e}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_run_is_meant_by_its_beginning_as_long_as_it_is_one() {
        check(IDS[0], Ok(IDS[0]));
        check("01a20c9a-6dbd", Ok(IDS[1]));
        check("01A20C9A6DBC", Ok(IDS[0]));
        check("01a20c9b", Ok(IDS[2]));
        check("last", Ok(IDS[2]));
        check("01a20c9a", Err("2 run ids, give more of the one that is meant: 01a20c9a-6dbd-"));
        check("01a2ff", Err("begins with `01a2ff`"));
        for nonsense in ["yesterday", "", "-", "01a20c9b-0000-7348-9a95-dba77261579a0", "0x1"] {
            let Ok(run) = nonsense.parse::<RunRef>();
            assert!(run.among(&[]).is_err(), "{nonsense}");
        }
        let Ok(last) = "last".parse::<RunRef>();
        assert_eq!(last.among(&[]), Err(RefError::NoRuns));
    }
}
