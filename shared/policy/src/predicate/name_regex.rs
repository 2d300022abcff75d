//! Regular expressions over names of keys: the `regex` crate, whose matching takes time in proportion to the name.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use crate::error::Problem;
use crate::limits::{REGEX_BYTES_MAX, REGEX_DEPTH_MAX};

/// A regular expression over names of keys, which are bytes: `.` is any byte but a line feed, `\w` and `\d` are ASCII.
/// It matches anywhere in the name, unless it has `^` and `$`.
#[derive(Clone)]
pub struct NameRegex(Regex);

impl NameRegex {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// [`Problem::BadRegex`] or [`Problem::LargeRegex`]. Text after a quote that nothing escapes could not be shown, so
    /// that is bad, too.
    pub fn new(text: &str) -> Result<Self, Problem> {
        if quoted_end(text).is_some() || is_escape_open(text) {
            return Err(Problem::BadRegex("write `\\\"` for a quote, and `\\\\` for a backslash".to_owned()));
        }
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .nest_limit(REGEX_DEPTH_MAX)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Problem::LargeRegex,
            error => Problem::BadRegex(cause(&error.to_string())),
        })
    }

    /// Whether it matches in `name`.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.is_match(name)
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

/// The cause in the message of the crate, which shows the expression on several lines before it.
fn cause(message: &str) -> String {
    let last = message.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// The byte of the quote that ends `text`, if one does: none after a backslash.
pub(super) fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Whether `text` ends with a backslash that escapes nothing.
fn is_escape_open(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

impl PartialEq for NameRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for NameRegex {}

impl fmt::Debug for NameRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~ {self}")
    }
}

impl fmt::Display for NameRegex {
    /// In quotes, as predicates have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.text())
    }
}
