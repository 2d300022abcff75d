//! Errors of a configuration. Each message states the place, the value and what would be right, and never contains a
//! secret. All of them end the process with exit code 2.

use std::fmt;
use std::path::PathBuf;

use keysweep_model::words::quoted;

use super::origin::Origin;

/// A line of the job file; shown as `keysweep.toml:12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// The file as it was named.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value of the wrong kind or out of bounds.
    #[error("{} is `{shown}`; it takes {expected}", subject(origin, name))]
    BadValue {
        /// The flag, variable or line that gave it.
        origin: Origin,
        /// The setting's name in the job file.
        name: &'static str,
        /// The bad text, shortened and without secrets.
        shown: String,
        /// What would be right.
        expected: String,
    },
    /// An unknown key of the job file.
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// The position of the key.
        place: FilePosition,
        /// The key as written.
        key: String,
        /// `; did you mean …`, or nothing.
        hint: String,
    },
    /// Unknown variables with the prefix of keysweep.
    #[error("{0}")]
    UnknownVariables(String),
    /// Text that is not TOML.
    #[error("{place}:{column}: {message}")]
    Syntax {
        /// The line.
        place: FilePosition,
        /// The column, counted from 1 in characters.
        column: usize,
        /// The parser's message.
        message: String,
    },
    /// TOML that does not have the shape of a job file.
    #[error("{place}: {message}")]
    Shape {
        /// The position of the problem.
        place: FilePosition,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The selected job does not exist.
    #[error("{} is `{wanted}`, but {found}", subject(origin, "name"))]
    NoSuchJob {
        /// The origin of the name.
        origin: Origin,
        /// The name.
        wanted: String,
        /// The existing jobs, or why there are none.
        found: String,
    },
    /// The file has several jobs, and none is selected.
    #[error("{} has several jobs: name one with `--job`: {}", path.display(), quoted(names))]
    SeveralJobs {
        /// The file.
        path: PathBuf,
        /// Its jobs.
        names: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("{named_by}cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The origin of the path, with a colon; empty for the default path.
        named_by: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A variable that is not UTF-8.
    #[error("`{variable}` is not valid UTF-8")]
    NotUtf8 {
        /// Its name.
        variable: &'static str,
    },
    /// Settings that exclude or need each other.
    #[error("{0}")]
    Contradiction(String),
    /// A context of the nats CLI that cannot be used.
    #[error(
        "{} is `{name}`, but {problem}; `nats context ls` lists the contexts, and `--nats URL` does without",
        subject(origin, "nats.context")
    )]
    BadContext {
        /// The origin of the name.
        origin: Origin,
        /// Its name.
        name: String,
        /// What is wrong with it, its path included.
        problem: String,
    },
    /// A bug: a setting without a row in the table, or without a default.
    #[error("the setting `{0}` is not defined; this is a bug in keysweep")]
    Undefined(&'static str),
}

/// The flag, variable or line with the bad value.
pub(super) fn subject(origin: &Origin, name: &str) -> String {
    match origin {
        Origin::Flag(flag) => format!("`{flag}`"),
        Origin::Env(variable) => format!("`{variable}`"),
        Origin::File { .. } | Origin::Context { .. } => format!("{origin}: `{name}`"),
        Origin::Default => format!("the default of `{name}`"),
    }
}
