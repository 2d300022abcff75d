//! Detects jumps of a server's clock. The grace of a batch is measured by the server's clock; if an operator sets it
//! forward, the grace would end at once. So each request compares it with our monotonic clock. After a forward jump,
//! all batches at that server wait for a whole grace again, measured by our clock. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{CLOCK_COMPARED_FOR, CLOCK_JUMP_MIN};

/// What is known about the clock of one server.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The first comparison, and the server's time in milliseconds since the epoch.
    base: Option<(Instant, u64)>,
    /// When a forward jump was detected.
    jumped: Option<Instant>,
}

/// How far a clock jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockJump {
    Forward(Duration),
    Back(Duration),
}

impl Clock {
    /// Compares the server's time `shown_ms` with our time `now`.
    pub(crate) fn observe(&mut self, shown_ms: u64, now: Instant) -> Option<ClockJump> {
        let Some((since, base_ms)) = self.base else {
            self.base = Some((now, shown_ms));
            return None;
        };
        let passed = now.saturating_duration_since(since);
        let due = Duration::from_millis(base_ms).saturating_add(passed);
        let shown = Duration::from_millis(shown_ms);
        let jump = match (shown.saturating_sub(due), due.saturating_sub(shown)) {
            (forward, _) if forward > CLOCK_JUMP_MIN => Some(ClockJump::Forward(forward)),
            (_, back) if back > CLOCK_JUMP_MIN => Some(ClockJump::Back(back)),
            _ => None,
        };
        if matches!(jump, Some(ClockJump::Forward(_))) {
            self.jumped = Some(now);
        }
        // Clocks drift, so the base of the comparison is renewed.
        if jump.is_some() || passed > CLOCK_COMPARED_FOR {
            self.base = Some((now, shown_ms));
        }
        jump
    }

    /// How long batches with this `grace` still wait because of a forward jump.
    pub(crate) fn grace_left(&self, grace: Duration, now: Instant) -> Duration {
        let since = self.jumped.map(|jumped| now.saturating_duration_since(jumped));
        since.map_or(Duration::ZERO, |since| grace.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_jump_does_not_shorten_the_grace() {
        let (mut clock, begin, grace) = (Clock::default(), Instant::now(), Duration::from_secs(60));
        let at = |s: u64| begin + Duration::from_secs(s);
        assert_eq!(clock.observe(1_000_000, at(0)), None);
        assert_eq!(clock.observe(1_010_900, at(10)), None, "small differences are allowed");
        assert_eq!(clock.grace_left(grace, at(10)), Duration::ZERO);
        assert_eq!(clock.observe(1_071_000, at(11)), Some(ClockJump::Forward(Duration::from_secs(60))));
        assert_eq!(clock.grace_left(grace, at(11)), grace);
        assert_eq!(clock.observe(1_091_000, at(31)), None, "the new time is the base");
        assert_eq!(clock.grace_left(grace, at(31)), Duration::from_secs(40));
        assert_eq!(clock.grace_left(grace, at(71)), Duration::ZERO);
    }

    #[test]
    fn small_steps_add_up() {
        let (mut clock, begin) = (Clock::default(), Instant::now());
        let step = |n: u64| (1_000_000 + n * 1_500, begin + Duration::from_millis(n * 1_000));
        let first = (0..60).find_map(|n| clock.observe(step(n).0, step(n).1));
        assert!(matches!(first, Some(ClockJump::Forward(_))), "{first:?}");
    }

    #[test]
    fn a_backward_jump_is_detected_and_extreme_times_are_harmless() {
        let (mut clock, begin) = (Clock::default(), Instant::now());
        clock.observe(1_000_000, begin);
        assert_eq!(clock.observe(400_000, begin), Some(ClockJump::Back(Duration::from_secs(600))));
        assert_eq!(clock.grace_left(Duration::from_secs(60), begin), Duration::ZERO);
        clock.observe(u64::MAX, begin);
        assert_eq!(clock.observe(u64::MAX, begin + Duration::from_secs(1)), None);
        assert!(clock.observe(0, begin).is_some());
    }
}
