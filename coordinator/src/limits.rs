//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

use keysweep_nats::limits::TASK_QUEUE_BYTES;
use keysweep_runtime::limits::BATCHES_QUEUE_BYTES_MAX;
use scanner::limits::PACED_TASK_ACK_WAITS;

/// `COUNT` of a page, when a TTL experiment reads the keys of users.
pub const EXPERIMENT_PAGE_KEYS: usize = 1_000;

/// How many times as many fills an experiment is planned for as if they were independent, where less was measured: what is
/// measured within a TTL does not show users who come on some days only.
pub const EXPERIMENT_OVERDISPERSION: f64 = 5.0;

/// How often the key of an experiment's assignment is followed to another server.
pub const EXPERIMENT_REDIRECTIONS_MAX: u32 = 5;

/// How long to wait for a server that is loading its data set before a run gives up.
pub const NOT_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys that one scan task is planned to list: 5 to 10 seconds of work at most.
pub const TASK_KEYS: u64 = 100_000;

/// Keys that one scan task is planned to list at least, in a small deployment.
pub const TASK_KEYS_MIN: u64 = 10_000;

/// A hash table is split into at most one part per this many keys, because there must be fewer parts than buckets (see
/// `walk`).
pub const KEYS_PER_PART_MIN: u64 = 1_024;

/// Scan tasks that an embedded run processes concurrently.
pub const EMBEDDED_SCANS: usize = 4;

/// Reap batches that an embedded run processes concurrently.
pub const EMBEDDED_REAPS: usize = 4;

/// The longest pause before a failed run is attempted again: the next scheduled run is rarely later.
pub const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// Missed times of a schedule that are counted; beyond it, "at least" is enough.
pub const MISSED_TIMES_MAX: u64 = 1_000;

/// How often the keys of a job with `schedule = "auto"` are counted, at most: an INFO per primary.
pub const COUNT_EVERY: Duration = Duration::from_secs(60);

/// The last runs of a job from which its next one is decided. A run counts half after seven others.
pub const AUTO_RUNS_MAX: usize = 200;

/// How often a slot that keeps moving is scheduled again before the run gives up on it.
pub const RESCHEDULES_MAX: u32 = 20;

/// The lease of a job's lock in Redis. Two thirds of it outlast a failover, which takes a
/// cluster about 20 seconds with default settings.
pub const LOCK_LEASE: Duration = Duration::from_secs(60);

/// Matching keys per node that the plan reads to estimate the share of stale keys; all, if there are fewer.
pub const SAMPLE_KEYS: u64 = 10_000;

/// The same, over all nodes of a large cluster; approximate.
pub const SAMPLE_KEYS_SUM: u64 = 100_000;

/// The minimum of matching keys that the plan reads at a node, however many nodes there are.
pub const SAMPLE_KEYS_LEAST: u64 = 200;

/// At a large node, one in this many matching keys is enough.
pub const SAMPLE_KEYS_IN: u64 = 200;

/// The minimum of matching keys that the plan reads at a large node.
pub const SAMPLE_KEYS_MIN: u64 = 2_000;

/// The maximum number of active users. Each scanner process takes 8 bytes for each of them.
pub const ACTIVE_USERS_MAX: usize = 20_000_000;

/// The longest idle time that a server reports, in milliseconds: it counts seconds in 24 bits.
pub const IDLE_TIME_MAX_MS: u64 = ((1 << 24) - 1) * 1_000;

/// Ack deadlines after which a scan task without a report is published again: its message may be lost, and a second
/// execution is harmless.
pub const TASK_AGAIN_ACK_WAITS: u32 = 10;

/// How often a scan task is published before the run gives up on it.
pub const TASK_TIMES_MAX: u32 = 5;

/// Keys that are restored in one write.
pub const RESTORE_WRITE_KEYS: usize = 100;

/// Bytes of values that are restored in one write, unless it is a single value.
pub const RESTORE_WRITE_BYTES: usize = 1 << 20;

/// How often restoring a key is tried whose slot is moving, or whose server is not ready.
pub const RESTORE_ROUNDS_MAX: u32 = 60;

/// The pause between two such tries.
pub const RESTORE_PAUSE: Duration = Duration::from_millis(500);

/// Candidate ids per key whose prefixes are examined.
pub const ID_READINGS: usize = 8;

/// The same, over all nodes of a large cluster; approximate.
pub const SAMPLE_BYTES_SUM: usize = 16 << 20;

/// Bytes of names that the sample of a node may always have, however many nodes there are.
pub const SAMPLE_BYTES_LEAST: usize = 8 << 10;

/// Bytes of a request to the service, over HTTP or NATS; typical requests have a few hundred.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Bytes of a text within a request that is stored or shown, such as the client's name.
pub const REQUEST_TEXT_BYTES_MAX: usize = 500;

/// Distinct restore errors that are listed.
pub const RESTORE_CAUSES_MAX: usize = 100;

/// Time limit for the body of a request.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a browser stays logged in.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Browsers that are logged in at a time; beyond it, the one that logged in first must do it again.
pub const SESSIONS_MAX: usize = 100;

/// What a wrong token costs its address: no more than one a second can be guessed.
pub const WRONG_TOKEN_COST: Duration = Duration::from_secs(1);

/// The debt from which on an address waits: a person may mistype.
pub const WRONG_TOKENS_DEBT_MAX: Duration = Duration::from_secs(60);

/// Addresses whose wrong tokens are remembered.
pub const WRONG_TOKENS_ADDRESSES_MAX: usize = 1_000;

/// How often refused requests are logged, for each kind of refusal.
pub const REFUSALS_LOG_EVERY: Duration = Duration::from_secs(60);

/// Browsers that watch the page at a time. Each has a connection, of 200.
pub const VIEWERS_MAX: usize = 50;

/// How often the page gets what has changed, at most.
pub const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

/// How often a service reads what its metrics say of jobs and queues.
pub const METRICS_EVERY: Duration = Duration::from_secs(5);

/// The pause before the page tries the store again that has failed.
pub const SNAPSHOT_RETRY: Duration = Duration::from_secs(5);

/// How often a viewer without news gets a comment, so that no proxy closes the connection.
pub const VIEWER_COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Runs that the page lists.
pub const PAGE_RUNS: usize = 50;

/// Runs in progress that the page shows the progress of.
pub const PAGE_RUNNING_MAX: usize = 20;

/// Alerts that the page lists.
pub const PAGE_ALERTS_MAX: usize = 100;

/// Resolved alerts that the page lists.
pub const PAGE_RESOLVED: usize = 10;

/// Workers that the page lists.
pub const PAGE_WORKERS_MAX: usize = 500;

/// How long the page lists a worker that has said nothing more. Workers speak every 5 seconds.
pub const WORKER_SHOWN_FOR: Duration = Duration::from_secs(10 * 60);

/// Points of a chart on the page.
pub const SERIES_POINTS_MAX: usize = 168;

/// Characters of a cause or a message on the page.
pub const PAGE_TEXT_CHARS_MAX: usize = 500;

/// Nodes of a run whose slots and pacing are shown.
pub const MAP_NODES_MAX: usize = 128;

/// Spans of all nodes together in the map of a run.
pub const MAP_SPANS_MAX: usize = 1_024;

/// The parts in which the map of a standalone server shows its table; a power of two, and less than the number of slots.
pub const MAP_POSITIONS: u16 = 1_024;

/// Prefixes of stale keys that are shown of a run in progress.
pub const SHOWN_PREFIXES: usize = 10;

/// How often a driver makes a new map of its run, at most.
pub const DETAIL_EVERY: Duration = Duration::from_secs(1);

/// Keys that a search of the audit trail returns, at most.
pub const AUDIT_ROWS_MAX: u32 = 1_000;

/// Pages of SCAN from which a plan classifies the cursors of a server. Eight random cursors are ascending once in
/// 40,000 times.
pub const CURSOR_PAGES: usize = 8;

/// `COUNT` of these pages.
pub const CURSOR_PAGE_KEYS: u32 = 10;

/// The maximum number of tasks for the tables of one node: a server may claim any number of keys. With 100,000 keys
/// each, they cover 1.6 billion; beyond it, tasks are larger.
pub const TASKS_OF_TABLES_MAX: u64 = 1 << 14;

/// In a run of at most this many candidates by the plan's estimate, each is measured before it is deleted. The
/// estimate may be twice the real number, so that runs of up to 10,000 candidates always measure all.
pub const FREED_EXACT_CANDIDATES: u64 = 20_000;

/// The maximum of a node's keys to delete that a plan measures, if it has read all keys of the node,
pub const PLAN_MEASURED_ALL: usize = 10_000;

/// and if it has read a sample of them.
pub const PLAN_MEASURED: usize = 1_000;

/// How often a run publishes its progress to subscribers of its events.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How often the driver of a run stores its progress for clients that query it.
pub const SO_FAR_EVERY: Duration = Duration::from_secs(1);

/// How long a refused connection is retried before a run is refused: the server still counts connections that this
/// machine has just closed.
pub const CONNECTIONS_WAIT: Duration = Duration::from_millis(150);

const _: () = assert!(EMBEDDED_SCANS * TASK_QUEUE_BYTES <= BATCHES_QUEUE_BYTES_MAX);

const _: () = assert!(PACED_TASK_ACK_WAITS * 2 < TASK_AGAIN_ACK_WAITS);

/// Keys with a TTL that TTL advice samples: more would make intervals narrower than the error of the model.
pub const TTL_SAMPLE_KEYS: u64 = 4_000;

/// Keys that it samples if they are written with several TTLs, so that each group of at least a thirtieth of them has enough.
pub const TTL_GROUPED_KEYS: u64 = 16_000;

/// The largest groups that get advice of their own.
pub const TTL_GROUPS_MAX: usize = 8;

/// Sampled keys of a group that are used.
pub const TTL_GROUP_KEYS: usize = 2_000;

/// One in so many of them has its memory measured: the mean of so many is known well enough.
pub const TTL_MEASURED_ONE_IN: u64 = 20;

/// Keys whose memory is measured in one write.
pub const TTL_MEASURED_AT_ONCE: usize = 200;

/// Keys that TTL advice looks up again in one write.
pub const TTL_FOLLOWED_AT_ONCE: usize = 500;

/// Bytes of the keys that it looks up again, which are kept between calls in one entry of the store, so in one message of
/// NATS; with long names, fewer are.
pub const TTL_PANEL_BYTES: usize = 900_000;

/// Bytes of such a key besides its name.
pub const TTL_PANEL_KEY_BYTES: usize = 128;

/// TTLs after which other keys are followed: one until the last key expires, and three in which they are awaited.
pub const TTL_PANEL_TTLS: u64 = 4;

/// Looks per TTL while TTL advice waits. Keys must be looked at within the last quarter before they expire.
pub const TTL_LOOKS: u32 = 8;

/// The shortest time between two of them.
pub const TTL_LOOK_PAUSE_MIN: Duration = Duration::from_millis(250);

/// The shortest time after which another call of TTL advice is recommended.
pub const TTL_CALL_AGAIN_MIN: Duration = Duration::from_secs(2);
