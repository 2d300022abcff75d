//! Every limit that is not a setting: its name, its unit and the reason for its size.

mod activity;
mod answers;
mod foreign;
mod http;
mod lane;
mod meeting;
mod memory;
mod notices;
mod process;
mod progress;
mod server;

use std::time::Duration;

pub use activity::*;
pub use answers::*;
pub use foreign::*;
pub use http::*;
pub use lane::*;
pub use meeting::*;
pub use memory::*;
pub use notices::*;
pub use process::*;
pub use progress::*;
pub use server::*;

/// Time limit for opening a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time without a reply after which a check tests whether a TLS server speaks TLS at all.
pub const TLS_CHECK_AFTER: Duration = Duration::from_secs(1);

/// Time limit for one reply; after it, the connection counts as lost. Far above what a healthy server needs, because
/// an abandoned command may still run.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to nodes of a deployment that are kept for reuse.
pub const CONNS_MAX: usize = 64;

/// Read buffer per connection, in bytes.
pub const READ_BYTES: usize = 64 << 10;

/// Time limit for a topology query to one server when other servers can be queried as well.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a batch waits until the replicas have its deletions. The end of the run checks the rest again.
pub const REPLICA_WAIT: Duration = Duration::from_millis(100);

/// How long the end of a run waits for replicas that lag. They report their offset about once a second.
pub const REPLICAS_CAUGHT_UP_WAIT: Duration = Duration::from_secs(3);

/// How long the end of a run waits for a primary that does not answer, or for its replacement.
pub const PRIMARY_WAIT: Duration = Duration::from_secs(60);

/// How long to wait for a server that is loading its data set before a run gives up.
pub const NOT_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys that one scan task is planned to list: 5 to 10 seconds of work at most.
pub const TASK_KEYS: u64 = 100_000;

/// A slot with more keys than this is giant: it is read in cursor ranges, not in one reply.
pub const SLOT_KEYS_MAX: u64 = 10_000;

/// Keys that are listed and looked up in one write of a scan task: enough to hide the round trip, few enough that
/// other clients of the server are served in between.
pub const WINDOW_KEYS: u64 = 2_000;

/// Listing commands in one write of a scan task.
pub const WINDOW_LISTINGS_MAX: usize = 64;

/// Cursors that a task follows concurrently, so that small pages still fill a write.
pub const LANES_MAX: u32 = 8;

/// A hash table is split into at most one part per this many keys, because there must be fewer parts than buckets (see
/// `walk`).
pub const KEYS_PER_PART_MIN: u64 = 1_024;

/// Encoded bytes of candidates that one scan task collects before it commits them and returns the rest of its range.
pub const TASK_CANDIDATE_BYTES_MAX: usize = 4 << 20;

/// Bytes of names that one write of a scan task may list; the rest is requested again. Only relevant for very long
/// names.
pub const WINDOW_BYTES_MAX: usize = 2 << 20;

/// Tasks in one record; longer lists are stored in parts.
pub const LIST_TASKS_MAX: usize = 500;

/// Scan tasks of one node that are in flight. A node has one thread: two tasks hide the round trip.
pub const TASKS_PER_NODE: usize = 2;

/// Reap batches of one node that one reaper processes concurrently: while some wait for a disk, others keep the node
/// busy.
pub const BATCHES_PER_NODE: usize = 4;

/// Bytes of keys in one reap batch, unless it is a single key.
pub const BATCH_BYTES_MAX: usize = 512 << 10;

/// Keys in one reap batch.
pub const BATCH_KEYS_MAX: usize = 4_000;

/// The longest key that is deleted, in bytes. A longer one does not fit into a message and counts as failed.
pub const KEY_BYTES_MAX: usize = 1_000_000;

/// The largest message, in bytes: one key of [`KEY_BYTES_MAX`] and its envelope.
pub const MESSAGE_BYTES_MAX: usize = KEY_BYTES_MAX + (40 << 10);

/// Bytes of headers of a NATS message, in addition to its payload.
pub const HEADER_BYTES: usize = 2 << 10;

/// Bytes that the in-memory queue of scan tasks may hold.
pub const TASKS_QUEUE_BYTES_MAX: usize = 16 << 20;

/// Bytes that the in-memory queue of reap batches may hold.
pub const BATCHES_QUEUE_BYTES_MAX: usize = 32 << 20;

/// Scan tasks that an embedded run processes concurrently.
pub const EMBEDDED_SCANS: usize = 4;

/// Reap batches that an embedded run processes concurrently.
pub const EMBEDDED_REAPS: usize = 4;

// Batches are inert until their task's report is stored, which happens when all of them are in the queue. So the queue
// must have room for the batches of all concurrent tasks, or the tasks would wait for each other. A task may exceed
// its limit by one write.
/// Bytes of batches that one scan task may have in the queue.
pub const TASK_QUEUE_BYTES: usize = (TASK_CANDIDATE_BYTES_MAX + WINDOW_BYTES_MAX) * 5 / 4;

/// The minimum size of a work queue in NATS, in bytes: the batches of one task, and those of one attempt at it that
/// was cut off.
pub const QUEUE_BYTES_MIN: usize = 16 << 20;

const _: () = assert!(2 * TASK_QUEUE_BYTES <= QUEUE_BYTES_MIN);
const _: () = assert!(EMBEDDED_SCANS * TASK_QUEUE_BYTES <= BATCHES_QUEUE_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < MESSAGE_BYTES_MAX);

/// The maximum age at which a batch may still act. The ledger in Redis has the same lifetime.
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

/// The longest pause before a failed run is attempted again: the next scheduled run is rarely later.
pub const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// Missed times of a schedule that are counted; beyond it, "at least" is enough.
pub const MISSED_TIMES_MAX: u64 = 1_000;

/// How often a slot that keeps moving is scheduled again before the run gives up on it.
pub const REPLANS_MAX: u32 = 20;

/// The ack deadline: a message that is not acknowledged in this time is redelivered.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// The lease of the lock that an embedded run holds in Redis. Two thirds of it outlast a failover, which takes a
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

/// How long a run that must stop may take to reach a safe point.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// The maximum number of active users. Each scanner process takes 8 bytes for each of them.
pub const ACTIVE_USERS_MAX: usize = 20_000_000;

/// The longest idle time that a server reports, in milliseconds: it counts seconds in 24 bits.
pub const IDLE_TIME_MAX_MS: u64 = ((1 << 24) - 1) * 1_000;

/// Details of one kind (long keys, causes) that a result names; the rest is only counted.
pub const DETAILS_MAX: usize = 10;

/// How long requests to a store that does not answer are retried before the caller gets an error. A restart of NATS
/// takes less.
pub const STORE_RETRY_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of events, of dead letters and of counter snapshots that NATS keeps; the oldest are removed first.
pub const EVENTS_BYTES_MAX: i64 = 256 << 20;

/// How long NATS keeps events.
pub const EVENTS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Ack deadlines after which a scan task without a report is published again: its message may be lost, and a second
/// execution is harmless.
pub const TASK_AGAIN_ACK_WAITS: u32 = 10;

/// The lease of the process that drives a run over NATS: when it expires, another process may take over.
pub const DRIVE_LEASE: Duration = Duration::from_secs(15);

/// How often a scan task is published before the run gives up on it.
pub const TASK_TIMES_MAX: u32 = 5;

/// The maximum of keys in the last part of their TTL for which a scan task queries the idle time.
pub const LATE_SAMPLES: u64 = 200;

/// Matching keys of a skipped node that are read nevertheless: their share has an error of at most 3.1 points, 19
/// times out of 20.
pub const SKIPPED_SAMPLE_KEYS: u64 = 1_000;

/// Bytes of a prefix that are kept; longer ones are cut.
pub const PREFIX_BYTES_MAX: usize = 120;

/// Prefixes for which an example is kept.
pub const PREFIX_SAMPLES_MAX: usize = 1_000;

/// Memory usage beyond which a server is nearly full, in percent of its limit (the document's figure).
pub const MEMORY_PERCENT_MAX: f64 = 80.0;

/// A PING latency above this many milliseconds is a sign of trouble.
pub const LATENCY_MS_MAX: f64 = 100.0;

/// How long NATS keeps counter snapshots.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(100 * 86_400);

/// Time limit for connecting to a webhook or to Prometheus.
pub const WEB_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time limit for a whole request to one of them.
pub const WEB_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection to one of them is kept; many servers close it after a minute.
pub const WEB_IDLE: Duration = Duration::from_secs(30);

/// How often a notification is posted to a webhook in one attempt.
pub const WEB_TRIES: u32 = 3;

/// The pause before the second try; it doubles.
pub const WEB_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The longest `Retry-After` of a webhook that is honored: other webhooks and alerts wait in this time.
pub const WEB_RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Maximum size of a Prometheus reply in bytes. One number needs a few hundred.
pub const WEB_ANSWER_BYTES_MAX: usize = 1 << 20;

/// Reports of a job that are kept in a directory; the oldest are removed first.
pub const REPORTS_KEPT: usize = 100;

/// The default latency budget, as the settings table writes it: an increase of a sub-millisecond p99 that users do not
/// notice.
pub const LATENCY_BUDGET: &str = "1ms";

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
pub const SHARE_FIRST: f64 = 0.3;

/// The minimum duty cycle: a run always makes progress, and tasks and batches end in time.
pub const SHARE_MIN: f64 = 0.05;

/// How many times smaller the requests of a plan are under a latency budget.
pub const SMALL_REQUESTS: usize = 5;

/// The break of a plan between requests to a node under a latency budget, as a multiple of the last request's
/// duration.
pub const BREAK_RATIO: u32 = 3;

/// The longest pause after one piece of work.
pub const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The part of the budget that one piece of work may take.
pub const PIECE_SHARE: f64 = 0.2;

/// The assumed cost of a key before the first was read, in seconds.
pub const KEY_TIME_FIRST: f64 = 3e-6;

/// The minimum of keys in one write: with fewer, most of the time is round trips.
pub const WINDOW_KEYS_MIN: u64 = 16;

/// The burst of a rate limit, as the time that it covers.
pub const RATE_BURST: Duration = Duration::from_millis(100);

/// Ack deadlines after which a throttled task reports what it has and returns the rest: otherwise it would look lost
/// (see [`TASK_AGAIN_ACK_WAITS`]).
pub const PACED_TASK_ACK_WAITS: u32 = 4;

const _: () = assert!(PACED_TASK_ACK_WAITS * 2 < TASK_AGAIN_ACK_WAITS);

/// How often a wait for a permit checks whether it must stop.
pub const PERMIT_POLL: Duration = Duration::from_millis(100);

/// Pauses shorter than this are added to the next one: timers are not more precise.
pub const PAUSE_MIN: Duration = Duration::from_millis(1);

/// How much earlier a pause may end if the previous one took too long: the typical delay of timers.
pub const PAUSE_CREDIT_MAX: Duration = Duration::from_millis(2);

/// How long the state of a node without work is kept.
pub const PACERS_KEPT: Duration = Duration::from_secs(60);

/// The maximum replication lag, as the settings table writes it: how long to wait until the replica has what the
/// primary had when the work began. After it, the primary is read.
pub const REPLICA_LAG: &str = "5s";

/// Time limit for a replica to report its offset, including the connection. A slower one is not worth using.
pub const REPLICA_ANSWER: Duration = Duration::from_secs(1);

/// How often a lagging replica is queried again.
pub const REPLICA_POLL: Duration = Duration::from_millis(20);

/// How long a replica that did not answer is not used.
pub const REPLICA_DOWN: Duration = Duration::from_secs(10);

/// Replicas of one primary that are considered.
pub const REPLICAS_MAX: usize = 16;

/// The largest value that is saved before its key is deleted, unless set otherwise, as the settings table writes it,
/// in bytes: reading and comparing a value keeps a server busy.
pub const BACKUP_VALUE_MAX: &str = "4194304";

/// Bytes of values, about, that are asked for in one write, or compared in one script call, unless it is a single value.
pub const BACKUP_WRITE_BYTES: u64 = 1 << 20;

/// The largest string that is read at first sight, before anything is known of its size, in bytes.
pub const BACKUP_TEXT_MAX: u64 = 4 << 10;

/// Keys that are read in one write.
pub const BACKUP_WRITE_KEYS: usize = 200;

/// Bytes of values, before compression, at which a backup file is full. A reaper keeps one such file per batch in
/// memory.
pub const BACKUP_FILE_BYTES: usize = 8 << 20;

/// The largest backup file that is read, in bytes: one with the largest permitted value, incompressible, and the keys
/// before it.
pub const BACKUP_READ_MAX: u64 = 272 << 20;

/// How often writing a backup file is tried before the run is cancelled.
pub const BACKUP_TRIES: u32 = 6;

/// The pause before the second try; it doubles, so that all tries take about six seconds.
pub const BACKUP_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Keys that are restored in one write.
pub const RESTORE_WRITE_KEYS: usize = 100;

/// Bytes of values that are restored in one write, unless it is a single value.
pub const RESTORE_WRITE_BYTES: usize = 1 << 20;

/// How often restoring a key is tried whose slot is moving, or whose server is not ready.
pub const RESTORE_ROUNDS_MAX: u32 = 60;

/// The pause between two such tries.
pub const RESTORE_PAUSE: Duration = Duration::from_millis(500);
