//! What may happen often is logged at a limited rate, with how often it happened in between. Pure.

use std::time::{Duration, Instant};

/// The pace of one kind of log line.
#[derive(Debug)]
pub struct LogPace {
    every: Duration,
    last: Option<Instant>,
    unlogged: u64,
}

impl LogPace {
    /// At most one line `every` so often; the first one at once.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, last: None, unlogged: 0 }
    }

    /// Counts an event. If it has a line, returns the end of that line, which says how many had none; it is empty if
    /// there were none.
    pub fn note(&mut self, now: Instant) -> Option<String> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            self.unlogged += 1;
            return None;
        }
        self.last = Some(now);
        Some(match std::mem::take(&mut self.unlogged) {
            0 => String::new(),
            times => format!(" ({times} more times since the last such line)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_between_are_counted() {
        let (mut pace, begin) = (LogPace::new(Duration::from_secs(10)), Instant::now());
        let mut at = |seconds| pace.note(begin + Duration::from_secs(seconds));
        assert_eq!(at(0).as_deref(), Some(""));
        assert_eq!([at(0), at(5), at(9)], [None, None, None]);
        assert_eq!(at(10).as_deref(), Some(" (3 more times since the last such line)"));
        assert_eq!(at(30).as_deref(), Some(""));
    }
}
