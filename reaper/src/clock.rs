//! Whether the clock of a server goes as ours does. The grace of a batch counts by the server's clock, which somebody may
//! set forward: then it would be over at once. So the clock is compared with our monotonic one at each look, and where it
//! went forward, all batches there wait for a whole grace again, by our own clock. Pure.

use std::time::Duration;

use shared::limits::{CLOCK_COMPARED_FOR, CLOCK_JUMP_MIN};
use tokio::time::Instant;

/// What is known of the clock of one server.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// When it was compared first, and what it showed, in milliseconds since the epoch.
    base: Option<(Instant, u64)>,
    /// When it was seen to have gone forward.
    jumped: Option<Instant>,
}

/// How far a clock went from where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockJump {
    Forward(Duration),
    Back(Duration),
}

impl Clock {
    /// Takes in that it shows `shown_ms` when it is `now` by ours.
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
        // Clocks drift, so they are not compared for ever.
        if jump.is_some() || passed > CLOCK_COMPARED_FOR {
            self.base = Some((now, shown_ms));
        }
        jump
    }

    /// How long batches with this `grace` still wait because the clock went forward.
    pub(crate) fn grace_left(&self, grace: Duration, now: Instant) -> Duration {
        let since = self.jumped.map(|jumped| now.saturating_duration_since(jumped));
        since.map_or(Duration::ZERO, |since| grace.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_forward_shortens_no_grace() {
        let (mut clock, begin, grace) = (Clock::default(), Instant::now(), Duration::from_secs(60));
        let at = |s: u64| begin + Duration::from_secs(s);
        assert_eq!(clock.observe(1_000_000, at(0)), None);
        assert_eq!(clock.observe(1_010_900, at(10)), None, "they need not agree to the millisecond");
        assert_eq!(clock.grace_left(grace, at(10)), Duration::ZERO);
        assert_eq!(clock.observe(1_071_000, at(11)), Some(ClockJump::Forward(Duration::from_secs(60))));
        assert_eq!(clock.grace_left(grace, at(11)), grace);
        assert_eq!(clock.observe(1_091_000, at(31)), None, "it goes on from there");
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
    fn a_clock_that_goes_back_is_seen_and_odd_times_do_no_harm() {
        let (mut clock, begin) = (Clock::default(), Instant::now());
        clock.observe(1_000_000, begin);
        assert_eq!(clock.observe(400_000, begin), Some(ClockJump::Back(Duration::from_secs(600))));
        assert_eq!(clock.grace_left(Duration::from_secs(60), begin), Duration::ZERO);
        clock.observe(u64::MAX, begin);
        assert_eq!(clock.observe(u64::MAX, begin + Duration::from_secs(1)), None);
        assert!(clock.observe(0, begin).is_some());
    }
}
