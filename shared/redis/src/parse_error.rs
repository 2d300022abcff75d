//! The error type of all parsers of what a server reports about itself and its cluster.

use std::fmt::{self, Write};

use keysweep_model::printable::one_line;
use redis::Value;

/// How many characters of a malformed text are shown.
const SHOWN_CHARS_MAX: usize = 80;

/// A text or reply that does not have the form known from servers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse {what} in `{shown}`")]
pub struct ParseError {
    what: &'static str,
    shown: String,
}

impl ParseError {
    /// `what` names the missing or malformed part; the first 80 characters of `text` are kept, escaped.
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        let beginning: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        Self { what, shown: one_line(&beginning).chars().take(SHOWN_CHARS_MAX).collect() }
    }

    /// The same for a reply, shown as the client decoded it.
    pub(crate) fn of_value(what: &'static str, value: &Value) -> Self {
        // A reply may be very long, and only its beginning is shown.
        let mut shown = Beginning(String::new());
        let _ = write!(shown, "{value:?}");
        Self::new(what, &shown.0)
    }
}

/// A writer that keeps only as much as is shown.
struct Beginning(String);

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (4 * SHOWN_CHARS_MAX).saturating_sub(self.0.len());
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last();
        self.0.push_str(&text[..end.unwrap_or_default()]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_short_and_on_one_line() {
        let error = ParseError::new("a node id", &format!("a\nb{}", "é".repeat(100)));
        assert_eq!(error.to_string(), format!("parse a node id in `a\\nb{}`", "é".repeat(76)));
        let long = Value::BulkString(vec![b'x'; 1 << 20]);
        assert!(ParseError::of_value("the slots", &long).to_string().len() < 200);
        let error = ParseError::of_value("the slots", &Value::Int(3));
        assert_eq!(error.to_string(), "parse the slots in `int(3)`");
    }
}
