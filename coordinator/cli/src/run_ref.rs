//! References to runs on the command line: an id, a prefix of one, or `last`.

use std::convert::Infallible;
use std::str::FromStr;

use keysweep_model::ids::RunId;
use keysweep_model::printable::Printable;
use keysweep_runtime::context::Context;
use keysweep_storage::history;
use thiserror::Error;

use super::error::CommandError;

/// Maximum ids that an error lists.
const NAMED_MAX: usize = 10;

/// A reference to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunRef {
    /// An id.
    Whole(RunId),
    /// A prefix of an id, without hyphens, or an invalid text.
    Begins(String),
    /// The run that was started last.
    Last,
}

/// Why a reference matches no run, or several.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RefError {
    /// It cannot be an id.
    #[error("`{0}` is not a run id, a prefix of one, or `last`; `keysweep runs list` shows the ids")]
    NoId(String),
    /// No id has this prefix.
    #[error("no remembered run has an id that begins with `{0}`; `keysweep runs list` shows them")]
    None(String),
    /// Several ids have this prefix.
    #[error("`{text}` is a prefix of {of} run ids, use a longer one: {named}")]
    Several {
        /// The reference.
        text: String,
        /// Number of matches.
        of: usize,
        /// The newest of them.
        named: String,
    },
    /// There are no runs.
    #[error("no runs are remembered")]
    NoRuns,
}

impl FromStr for RunRef {
    type Err = Infallible;

    /// An invalid text is reported by the search, with our own error message.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.parse()) {
            ("last", _) => Self::Last,
            (_, Ok(run)) => Self::Whole(run),
            (_, Err(_)) => Self::Begins(text.to_owned()),
        })
    }
}

impl RunRef {
    /// The run that is referenced. A complete id is returned without a search.
    ///
    /// # Errors
    /// When no run matches, or several do, or the store fails.
    pub(super) async fn find(&self, context: &Context) -> Result<RunId, CommandError> {
        if let Self::Whole(run) = self {
            return Ok(*run);
        }
        let lines = history::read(&*context.history_store).await?;
        let ids: Vec<RunId> = lines.iter().map(|line| line.run_id).collect();
        Ok(self.among(&ids)?)
    }

    /// The referenced run among `ids`, which are sorted oldest first.
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
    fn a_run_is_found_by_a_unique_prefix() {
        check(IDS[0], Ok(IDS[0]));
        check("01a20c9a-6dbd", Ok(IDS[1]));
        check("01A20C9A6DBC", Ok(IDS[0]));
        check("01a20c9b", Ok(IDS[2]));
        check("last", Ok(IDS[2]));
        check("01a20c9a", Err("2 run ids, use a longer one: 01a20c9a-6dbd-"));
        check("01a2ff", Err("begins with `01a2ff`"));
        for nonsense in ["yesterday", "", "-", "01a20c9b-0000-7348-9a95-dba77261579a0", "0x1"] {
            let Ok(run) = nonsense.parse::<RunRef>();
            assert!(run.among(&[]).is_err(), "{nonsense}");
        }
        let Ok(last) = "last".parse::<RunRef>();
        assert_eq!(last.among(&[]), Err(RefError::NoRuns));
    }
}
