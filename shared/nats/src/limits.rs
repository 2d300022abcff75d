//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

use keysweep_config::limits::QUEUE_BYTES_MIN;
use keysweep_model::limits::{TASK_CANDIDATE_BYTES_MAX, WINDOW_BYTES_MAX};

/// Bytes of headers of a NATS message, in addition to its payload.
pub const HEADER_BYTES: usize = 2 << 10;

/// Bytes of batches that one scan task may have in the queue.
pub const TASK_QUEUE_BYTES: usize = (TASK_CANDIDATE_BYTES_MAX + WINDOW_BYTES_MAX) * 5 / 4;

/// How long requests to a store that does not answer are retried before the caller gets an error. A restart of NATS
/// takes less.
pub const STORE_RETRY_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of events that NATS keeps; the oldest are removed first.
pub const EVENTS_BYTES_MAX: i64 = 16 << 20;

/// Bytes of dead letters that NATS keeps; the oldest are removed first.
pub const DEAD_LETTERS_BYTES_MAX: i64 = 8 << 20;

/// Bytes of counter snapshots that NATS keeps; the oldest are removed first.
pub const SAMPLES_BYTES_MAX: i64 = 32 << 20;

/// The part of `[nats] queue_bytes` that the queue of scan tasks gets in addition to the queue of reap batches: tasks are
/// much smaller than their batches.
pub const TASK_QUEUE_PART: u64 = 8;

/// How long NATS keeps events.
pub const EVENTS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// How long NATS keeps counter snapshots.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(100 * 86_400);

const _: () = assert!(2 * TASK_QUEUE_BYTES <= QUEUE_BYTES_MIN);
