//! The time limit of a run, `--max-runtime`. It counts from the start of the command or request, planning and waiting
//! for a lock included; the time in which a question waits for its answer does not count.

use std::time::Duration;

use keysweep_model::duration::{self, millis};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// The time limit of one run.
#[derive(Clone, Copy, Debug)]
pub struct RunTime {
    /// When it began, in milliseconds since the epoch.
    pub started_at_ms: u64,
    /// When it began by the monotonic clock, shifted by the time that did not count.
    begun: Instant,
    max: Option<Duration>,
}

/// The time limit was reached before the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the time that `--max-runtime {}` allows was over before {before}; nothing was changed",
    duration::show(*.max)
)]
pub struct OutOfTime {
    max: Duration,
    before: &'static str,
}

impl RunTime {
    /// A limit that begins now, at `now_ms`, with the duration `max`.
    #[must_use]
    pub fn begin(now_ms: u64, max: Option<Duration>) -> Self {
        Self { started_at_ms: now_ms, begun: Instant::now(), max }
    }

    /// When the limit is reached; `None` without a limit.
    #[must_use]
    pub fn end(&self) -> Option<Instant> {
        self.begun.checked_add(self.max?)
    }

    /// The time from which the limit counts, in milliseconds since the epoch. Derived from the monotonic clock, so
    /// that it does not change if the system clock is set.
    #[must_use]
    pub fn counts_from_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(millis(self.begun.elapsed()))
    }

    /// Waits for an `answer`; the time does not count.
    pub async fn stopped<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let answered = answer.await;
        self.begun += since.elapsed();
        answered
    }

    /// # Errors
    /// When the limit is reached, `before` a step of the run.
    pub fn check(&self, before: &'static str) -> Result<(), OutOfTime> {
        match self.max.filter(|max| self.begun.elapsed() >= *max) {
            Some(max) => Err(OutOfTime { max, before }),
            None => Ok(()),
        }
    }

    /// Runs `work`, and drops it when the limit is reached.
    ///
    /// # Errors
    /// Those of `work`, and [`OutOfTime`], `before` a step of the run.
    pub async fn within<T, E: From<OutOfTime>>(
        &self,
        before: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.max.zip(self.end()) {
            Some((max, end)) => {
                timeout_at(end, work).await.unwrap_or_else(|_| Err(OutOfTime { max, before }.into()))
            }
            None => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_limit_counts_from_the_start_but_not_during_a_question() {
        let mut time = RunTime::begin(1_000, Some(10 * SECOND));
        let slow = |seconds: u32| async move {
            sleep(seconds * SECOND).await;
            Ok::<_, OutOfTime>(seconds)
        };
        assert_eq!(time.within("it is planned", slow(6)).await, Ok(6));
        time.stopped(sleep(3_600 * SECOND)).await;
        assert_eq!(time.check("it begins"), Ok(()));
        assert_eq!(time.counts_from_ms(4_000_000), 4_000_000 - 6_000);
        let since = Instant::now();
        let over = time.within("it begins", slow(6)).await.unwrap_err();
        assert_eq!(since.elapsed(), 4 * SECOND);
        assert_eq!(time.check("it begins"), Err(over));
        let said = "the time that `--max-runtime 10s` allows was over before it begins; nothing was changed";
        assert_eq!(over.to_string(), said);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_is_never_reached() {
        let time = RunTime::begin(0, None);
        sleep(1_000_000 * SECOND).await;
        assert_eq!((time.end(), time.check("it begins")), (None, Ok(())));
        assert_eq!(RunTime::begin(0, Some(Duration::MAX)).end(), None);
    }
}
