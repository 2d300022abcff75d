//! The origin of a value: `config show` and errors name the flag, variable or line to change.

use std::fmt;
use std::path::PathBuf;

/// The place that gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag, with its dashes: `--grace`.
    Flag(&'static str),
    /// An environment variable.
    Env(&'static str),
    /// A line of the job file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The file of a nats CLI context that a setting names.
    Context {
        /// The file.
        path: PathBuf,
    },
    /// No layer has a value.
    Default,
}

impl Origin {
    /// The higher rank wins: flags over environment over file over defaults. A context has the rank of the setting that
    /// names it; its reader handles that.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 3,
            Self::Env(_) => 2,
            Self::File { .. } => 1,
            Self::Context { .. } | Self::Default => 0,
        }
    }

    /// Whether it is a flag or a variable.
    #[must_use]
    pub fn is_above_file(&self) -> bool {
        matches!(self, Self::Flag(_) | Self::Env(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Context { path } => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A resolved value and its origin. A default that is derived from another setting carries the
/// origin of that setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub origin: Origin,
}

impl<T> Setting<Option<T>> {
    /// No value, by default.
    pub(super) const fn none() -> Self {
        Self { value: None, origin: Origin::Default }
    }
}

impl<T> Setting<T> {
    /// The same origin with another value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), origin: self.origin }
    }

    /// Another value that was derived from this one.
    pub(super) fn derive<U>(&self, value: U) -> Setting<U> {
        Setting { value, origin: self.origin.clone() }
    }
}
