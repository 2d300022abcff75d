//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// How long the end of a run waits for a primary that does not answer, or for its replacement.
pub const PRIMARY_WAIT: Duration = Duration::from_secs(60);

/// How often a worker says that it is there.
pub const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);

/// Bytes that the in-memory queue of scan tasks may hold.
pub const TASKS_QUEUE_BYTES_MAX: usize = 16 << 20;

/// Bytes that the in-memory queue of reap batches may hold.
pub const BATCHES_QUEUE_BYTES_MAX: usize = 32 << 20;

/// The maximum age at which a batch may still act. The ledger in Redis has the same lifetime.
/// A reaper that froze and wakes up later than that deletes nothing.
pub const BATCH_LIFE: Duration = Duration::from_secs(15 * 60);

/// Failures after which a worker dead-letters a message.
pub const FAILURES_MAX: u32 = 20;

/// Failures after which a worker dead-letters a message of a run that is stopping.
pub const FAILURES_WHEN_STOPPING: u32 = 3;

/// How long a message may keep failing, however few failures that are: a frozen server fails slowly.
pub const FAILING_TIME_MAX: Duration = Duration::from_secs(60);

/// The first pause after a failure; it doubles up to [`RETRY_DELAY_MAX`].
pub const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The longest pause after a failure.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// The lease of the process that drives a run over NATS: when it expires, another process may take over.
pub const DRIVE_LEASE: Duration = Duration::from_secs(15);

/// Active ids that are searched for a common prefix, and sampled keys for which a template is suggested.
pub const SAMPLED_IDS: usize = 1_000;

/// The longest active id that is normalized, in bytes. Ids in keys are far shorter, so a longer one matches no key;
/// four times as much, because an id may be percent-encoded.
pub const MEMBER_BYTES_MAX: usize = 4_096;

/// The pause after the first failed attempt; it doubles.
pub const NOTIFICATION_PAUSE: Duration = Duration::from_secs(10);

/// The longest wait between two reads of the clock: it may be set, and the machine suspended.
pub const CLOCK_CHECK: Duration = Duration::from_secs(10);
