//! Types of settings that only the configuration defines.

use std::fmt;
use std::path::PathBuf;

use keysweep_model::redact::redact;

/// A source of data: a word of the table, and the text after its colon. A URL in it may contain a password, so it is
/// shown redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivitySetting {
    /// The word, such as `zset`.
    pub word: &'static str,
    /// A key or a URL; empty if the word needs none.
    pub what: String,
}

impl fmt::Debug for ActivitySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ActivitySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what.as_str() {
            "" => f.write_str(self.word),
            what => write!(f, "{}:{}", self.word, redact(what)),
        }
    }
}

/// Where keys are saved before they are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupPlace {
    /// This directory.
    Directory(PathBuf),
    /// This bucket of the NATS object store.
    Bucket(String),
}

impl BackupPlace {
    /// Parses the text of a run's spec.
    #[must_use]
    pub fn written(text: &str) -> Self {
        match text.strip_prefix("nats://") {
            Some(bucket) => Self::Bucket(bucket.to_owned()),
            None => Self::Directory(PathBuf::from(text)),
        }
    }
}

impl fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => write!(f, "nats://{bucket}"),
        }
    }
}
