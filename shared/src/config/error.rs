//! What can be wrong with a configuration. Each message says where, what stands there and what would
//! be right; a secret is never part of one. All of them end the process with exit code 2.

use std::fmt;
use std::path::PathBuf;

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
    /// A value of the wrong sort or out of its bounds.
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
    /// A key of the job file that means nothing.
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// Where.
        place: FilePosition,
        /// The key as written.
        key: String,
        /// `; did you mean …`, or nothing.
        hint: String,
    },
    /// Variables that begin as those of keysweep do, and are not known.
    #[error("{0}")]
    UnknownVariables(String),
    /// No TOML.
    #[error("{place}:{column}: {message}")]
    Syntax {
        /// The line.
        place: FilePosition,
        /// The column, counted from 1 in characters.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// TOML of another shape than a job file has.
    #[error("{place}: {message}")]
    Shape {
        /// Where.
        place: FilePosition,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A job was asked for that does not exist.
    #[error("{} is `{wanted}`, but {found}", subject(origin, "name"))]
    NoSuchJob {
        /// Who asked.
        origin: Origin,
        /// The name asked for.
        wanted: String,
        /// The jobs there are, or why there are none.
        found: String,
    },
    /// Several jobs, and nobody said which.
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
        /// What named the file, with a colon; empty if nobody did.
        named_by: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A variable that is no UTF-8.
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
        /// Who named it.
        origin: Origin,
        /// Its name.
        name: String,
        /// What is wrong with it, its path included.
        problem: String,
    },
    /// A mistake of this program: a setting without its row in the table or without a default.
    #[error("the setting `{0}` is not defined; this is a bug in keysweep")]
    Undefined(&'static str),
}

/// The thing that has the bad value, as the person who wrote it knows it.
pub(super) fn subject(origin: &Origin, name: &str) -> String {
    match origin {
        Origin::Flag(flag) => format!("`{flag}`"),
        Origin::Env(variable) => format!("`{variable}`"),
        Origin::File { .. } | Origin::Context { .. } => format!("{origin}: `{name}`"),
        Origin::Default => format!("the default of `{name}`"),
    }
}

/// Names in backticks, separated by commas.
pub(super) fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
