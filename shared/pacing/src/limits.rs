//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// Keys that are listed and looked up in one write of a scan task: enough to hide the round trip, few enough that
/// other clients of the server are served in between (measured in `docs/design/hot-path.md`).
pub const WINDOW_KEYS: u64 = 250;

/// Scan tasks of one node that are in flight. A node has one thread: two tasks hide the round trip.
pub const TASKS_PER_NODE: usize = 2;

/// Probes of a node before the first work there. The budget is added to their median.
pub const PROBES_BEFORE: usize = 20;

/// The pause between two of them.
pub const PROBE_BEFORE_EVERY: Duration = Duration::from_millis(1);

/// The pause between two probes of a node at work: a hundred probes, enough to compensate for a late one, take a third
/// of a second and cost the server less than a thousandth of its time.
pub const PROBE_EVERY: Duration = Duration::from_millis(3);

/// Time limit for a probe. A probe without a reply does not fail the node: the work there shows whether it is up.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a node without work is still probed: the next batch often follows soon, and would need a new connection.
pub const PROBE_LINGER: Duration = Duration::from_secs(1);

/// The weight of the latest piece of work in the moving average of the time per key.
pub const KEY_TIME_WEIGHT: f64 = 0.1;

/// The share of probes that may be late because of the work: what is beyond a p99.
pub const LATE_SHARE: f64 = 0.01;

/// After the duty cycle was halved, how long late probes count as the same event.
pub const LATE_HOLD: Duration = Duration::from_millis(20);

/// The maximum share of late probes that is attributed to other clients. Beyond it, the node is in trouble, and the
/// work slows down whatever the cause.
pub const NOISE_MAX: f64 = 0.1;

/// The number of probes over which that share is averaged.
pub const NOISE_PROBES: f64 = 1_000.0;

/// The duty cycle at which a run begins: one second of good probes leads to full speed.
pub const DUTY_CYCLE_START: f64 = 0.3;

/// The minimum duty cycle: a run always makes progress, and tasks and batches end in time.
pub const DUTY_CYCLE_MIN: f64 = 0.05;

/// The part of the budget that one piece of work may take.
pub const PIECE_SHARE: f64 = 0.2;

/// The assumed cost of a key before the first was read, in seconds.
pub const KEY_TIME_FIRST: f64 = 3e-6;

/// The minimum of keys in one write: with fewer, most of the time is round trips.
pub const WINDOW_KEYS_MIN: u64 = 16;

/// The burst of a rate limit, as the time that it covers.
pub const RATE_BURST: Duration = Duration::from_millis(100);

/// How often a wait for a permit checks whether it must stop.
pub const PERMIT_POLL: Duration = Duration::from_millis(100);

/// Pauses shorter than this are added to the next one: timers are not more precise.
pub const PAUSE_MIN: Duration = Duration::from_millis(1);

/// How much earlier a pause may end if the previous one took too long: the typical delay of timers.
pub const PAUSE_CREDIT_MAX: Duration = Duration::from_millis(2);

/// How long the state of a node without work is kept.
pub const PACERS_KEPT: Duration = Duration::from_secs(60);
