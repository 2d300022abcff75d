//! The clock of a world: it stands still while anything has something to do, and jumps to the next timer otherwise.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use keysweep_model::time;
use tokio::time::Instant;

/// When each world begins.
const BEGIN_S: i64 = 1_800_000_000;

static BEGIN: OnceLock<Instant> = OnceLock::new();

/// Lets the clock of this process be that of the runtime. Called once, in a runtime whose time is paused.
pub(crate) fn begin() {
    BEGIN.get_or_init(Instant::now);
    time::simulate(now);
}

/// Milliseconds since the world began.
pub(crate) fn elapsed_ms() -> u64 {
    BEGIN.get().map_or(0, |begin| u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX))
}

fn now() -> Timestamp {
    let elapsed = SignedDuration::from_millis(i64::try_from(elapsed_ms()).unwrap_or(i64::MAX));
    Timestamp::from_second(BEGIN_S).unwrap_or_default().saturating_add(elapsed).unwrap_or(Timestamp::MAX)
}
