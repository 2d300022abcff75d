//! Every limit that is no setting: its name, its unit and why it has this size.

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

/// How long making a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After how long a TLS server that says nothing is asked whether it speaks TLS at all.
pub const TLS_PATIENCE: Duration = Duration::from_secs(1);

/// How long one answer may take before the connection counts as lost. Far above what a healthy server
/// needs, because a command that we give up on may still run.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to nodes of a deployment that are kept for their next use.
pub const CONNS_MAX: usize = 64;

/// Room that is made for what a server sends before it is read, in bytes.
pub const READ_BYTES: usize = 64 << 10;

/// How long one server may take to say who serves what, when others can be asked as well.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a batch waits for the replicas to have its deletions. What they do not have by then is looked at once
/// more at the end of the run.
pub const REPLICA_WAIT: Duration = Duration::from_millis(100);

/// How long the end of a run waits for replicas that are behind. They tell their offset about once a second.
pub const REPLICAS_CAUGHT_UP_WAIT: Duration = Duration::from_secs(3);

/// How long the end of a run waits for a primary that does not answer, or for another in its place.
pub const PRIMARY_WAIT: Duration = Duration::from_secs(60);

/// How long a server that is loading its data set is waited for before a run gives up.
pub const NOT_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys that one scan task is planned to list: 5 to 10 seconds of work at most.
pub const TASK_KEYS: u64 = 100_000;

/// A slot with more keys than this is giant: it is read in cursor ranges, not in one reply.
pub const SLOT_KEYS_MAX: u64 = 10_000;

/// Keys that are listed and looked up in one write of a scan task. Enough to hide the round trip, few
/// enough that other clients of the server get their turn.
pub const WINDOW_KEYS: u64 = 2_000;

/// Listing commands in one write of a scan task.
pub const WINDOW_LISTINGS_MAX: usize = 64;

/// Cursors that a task follows side by side, so that small pages still fill a write.
pub const LANES_MAX: u32 = 8;

/// A table is cut into at most one part per this many keys: parts must be fewer than buckets (see `walk`).
pub const KEYS_PER_PART_MIN: u64 = 1_024;

/// Bytes of candidates, as they travel, that one scan task holds before it commits what it has and returns the rest.
pub const TASK_CANDIDATE_BYTES_MAX: usize = 4 << 20;

/// Bytes of names that one write of a scan task may list; what is beyond is asked for again. Names are short
/// nearly always, so this only matters where very long ones are kept.
pub const WINDOW_BYTES_MAX: usize = 2 << 20;

/// Tasks in one record; longer lists are stored in parts.
pub const LIST_TASKS_MAX: usize = 500;

/// Scan tasks of one node that are handed out at a time. A node is one thread: two hide the round trip.
pub const TASKS_PER_NODE: usize = 2;

/// Reap batches of one node that one reaper works on at a time: while some wait for a disk, others keep the node busy.
pub const BATCHES_PER_NODE: usize = 4;

/// Bytes of keys in one reap batch, unless it is a single key.
pub const BATCH_BYTES_MAX: usize = 512 << 10;

/// Keys in one reap batch.
pub const BATCH_KEYS_MAX: usize = 4_000;

/// The longest key that is deleted, in bytes; a longer one does not fit a message and is counted failed.
pub const KEY_BYTES_MAX: usize = 1_000_000;

/// The largest message, in bytes: one key of [`KEY_BYTES_MAX`] and its envelope.
pub const MESSAGE_BYTES_MAX: usize = KEY_BYTES_MAX + (40 << 10);

/// Bytes of headers that a message may have over NATS, beside its payload.
pub const HEADER_BYTES: usize = 2 << 10;

/// Bytes that the in-memory queue of scan tasks may hold.
pub const TASKS_QUEUE_BYTES_MAX: usize = 16 << 20;

/// Bytes that the in-memory queue of reap batches may hold.
pub const BATCHES_QUEUE_BYTES_MAX: usize = 32 << 20;

/// Scan tasks that an embedded run works on at a time.
pub const EMBEDDED_SCANS: usize = 4;

/// Reap batches that an embedded run works on at a time.
pub const EMBEDDED_REAPS: usize = 4;

// Batches are inert until their task's report is stored, which happens after all of them are in the queue.
// So the queue must hold those of all tasks at work at once, or they would wait for each other.
// A task may hold one write more than its limit.
/// Bytes of batches that one scan task may have in the queue.
pub const TASK_QUEUE_BYTES: usize = (TASK_CANDIDATE_BYTES_MAX + WINDOW_BYTES_MAX) * 5 / 4;

/// The fewest bytes of a work queue in NATS: those of one task, and once more what an attempt at it left behind
/// that was cut off.
pub const QUEUE_BYTES_MIN: usize = 16 << 20;

const _: () = assert!(2 * TASK_QUEUE_BYTES <= QUEUE_BYTES_MIN);
const _: () = assert!(EMBEDDED_SCANS * TASK_QUEUE_BYTES <= BATCHES_QUEUE_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < MESSAGE_BYTES_MAX);

/// How long after it was made a batch may still act. The ledger in Redis lives as long.
pub const BATCH_LIFE: Duration = Duration::from_secs(15 * 60);

/// Failures after which a worker gives a message up.
pub const FAILURES_MAX: u32 = 20;

/// Failures after which a worker gives a message up whose run is to stop.
pub const FAILURES_WHEN_STOPPING: u32 = 3;

/// How long a message may go on failing, however few times: a server that is frozen fails slowly.
pub const FAILING_TIME_MAX: Duration = Duration::from_secs(60);

/// The first pause after a failure; it doubles up to [`RETRY_DELAY_MAX`].
pub const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The longest pause after a failure.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// The longest pause before a failed run is attempted again: a schedule's next time is rarely farther off.
pub const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// Missed times of a schedule that are counted; beyond it, "at least so many" is all that anybody needs to know.
pub const MISSED_TIMES_MAX: u64 = 1_000;

/// How often a slot that would not hold still is planned again before it is given up.
pub const REPLANS_MAX: u32 = 20;

/// How long a delivered message is invisible until somebody else gets it.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// The lease of the lock that an embedded run holds in Redis. Two thirds of it outlast a failover, which takes a
/// cluster some 20 seconds by its default settings.
pub const LOCK_LEASE: Duration = Duration::from_secs(60);

/// Matching keys per node that the plan looks at to estimate the share of stale ones: all, if there are fewer.
pub const SAMPLE_KEYS: u64 = 10_000;

/// The same over all nodes of a large cluster, about.
pub const SAMPLE_KEYS_SUM: u64 = 100_000;

/// The fewest matching keys of a node that the plan looks at, however many nodes there are.
pub const SAMPLE_KEYS_LEAST: u64 = 200;

/// Of a large node, one in so many matching keys is enough.
pub const SAMPLE_KEYS_IN: u64 = 200;

/// The fewest matching keys of a large node that the plan looks at.
pub const SAMPLE_KEYS_MIN: u64 = 2_000;

/// How long a run that was told to stop may take to reach a safe point.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Users that may be active. Each scanner process holds 8 bytes for each of them.
pub const ACTIVE_USERS_MAX: usize = 20_000_000;

/// The longest idle time that a server can tell, in milliseconds: it counts seconds in 24 bits.
pub const IDLE_TIME_MAX_MS: u64 = ((1 << 24) - 1) * 1_000;

/// Details of one kind (long keys, causes) that a result names; the rest is only counted.
pub const DETAILS_MAX: usize = 10;

/// How long the store is asked again that does not answer, before its caller is told. A restart of NATS takes
/// less.
pub const STORE_PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of events, of dead letters, and of samples, that NATS keeps; the oldest go first.
pub const EVENTS_BYTES_MAX: i64 = 256 << 20;

/// How long NATS keeps events.
pub const EVENTS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// After so many ack deadlines without its report, a scan task is handed out once more: its message may be
/// lost, and doing it twice is harmless.
pub const TASK_AGAIN_ACK_WAITS: u32 = 10;

/// How long whoever drives a run over NATS may be silent before another one takes the run over.
pub const DRIVE_LEASE: Duration = Duration::from_secs(15);

/// How often a scan task is handed out until it is given up.
pub const TASK_TIMES_MAX: u32 = 5;

/// Keys of a scan task near the end of their life whose idle time is asked for, at most.
pub const LATE_SAMPLES: u64 = 200;

/// Matching keys of a skipped node that are looked at all the same: a share of them is off by 3.1 points at most, 19
/// times out of 20.
pub const SKIPPED_SAMPLE_KEYS: u64 = 1_000;

/// Bytes of a prefix that are told; what is beyond is cut.
pub const PREFIX_BYTES_MAX: usize = 120;

/// Prefixes for which an example is kept.
pub const PREFIX_SAMPLES_MAX: usize = 1_000;

/// Memory beyond which a server is nearly full, in percent of its limit: the document's figure.
pub const MEMORY_PERCENT_MAX: f64 = 80.0;

/// An answer to a PING that takes longer, in milliseconds, is a sign of trouble.
pub const LATENCY_MS_MAX: f64 = 100.0;

/// How long NATS keeps samples.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(100 * 86_400);

/// How long the connection to a webhook or to Prometheus may take.
pub const WEB_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request to one may take as a whole.
pub const WEB_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection to one is kept for the next request; many servers end it after a minute.
pub const WEB_IDLE: Duration = Duration::from_secs(30);

/// How often a notice is posted to a webhook until it is given up.
pub const WEB_TRIES: u32 = 3;

/// The pause before the second try; it doubles.
pub const WEB_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The longest pause that a webhook's `Retry-After` is obeyed for: other hooks and alerts wait meanwhile.
pub const WEB_RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Bytes of an answer of Prometheus that are read. One number needs a few hundred.
pub const WEB_ANSWER_BYTES_MAX: usize = 1 << 20;

/// How many reports of a job remain in a directory; the oldest go first.
pub const REPORTS_KEPT: usize = 100;

/// The latency budget, if nobody sets one, as the table of settings writes it: what a p99 of less than a millisecond
/// grows by without anybody noticing.
pub const LATENCY_BUDGET: &str = "1ms";

/// Probes of a node before the first work there. Their median is what the budget is added to.
pub const PROBES_BEFORE: usize = 20;

/// The pause between two of them.
pub const PROBE_BEFORE_EVERY: Duration = Duration::from_millis(1);

/// The pause between two probes of a node at work: a hundred of them, which make up for a late one, take a third of
/// a second, and cost the server less than a thousandth of its time.
pub const PROBE_EVERY: Duration = Duration::from_millis(3);

/// How long a probe may take. A node that does not answer it is not given up for that: the work there will tell.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a node is still probed at which nobody works any more: the next batch is often not far, and would connect
/// anew.
pub const PROBE_LINGER: Duration = Duration::from_secs(1);

/// How much the last piece of work counts in the mean of what a key takes.
pub const KEY_TIME_WEIGHT: f64 = 0.1;

/// The share of probes that may be late because of us: what is beyond a p99.
pub const LATE_SHARE: f64 = 0.01;

/// After a share was halved, how long late probes count as the same event.
pub const LATE_HOLD: Duration = Duration::from_millis(20);

/// Late probes that are put down to others, as a share of all: beyond it, the node is in trouble, and we slow down
/// whoever causes it.
pub const NOISE_MAX: f64 = 0.1;

/// Over how many probes that is learned.
pub const NOISE_PROBES: f64 = 1_000.0;

/// The share of a node's time that a run begins with: full speed is one second of good probes away.
pub const SHARE_FIRST: f64 = 0.3;

/// The smallest share: a run always makes progress, and a task and its batches end in time.
pub const SHARE_MIN: f64 = 0.05;

/// How many times smaller the requests of a plan are where a latency budget is kept.
pub const SMALL_REQUESTS: usize = 5;

/// How long a plan leaves a node alone then, as a multiple of what its last request took.
pub const BREAK_RATIO: u32 = 3;

/// The longest pause after one piece of work.
pub const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The part of the budget that one piece of work may take.
pub const PIECE_SHARE: f64 = 0.2;

/// What a key is taken to cost before the first was read, in seconds.
pub const KEY_TIME_FIRST: f64 = 3e-6;

/// Keys that one write asks for at least: fewer would mostly be round trips.
pub const WINDOW_KEYS_MIN: u64 = 16;

/// Keys that may be read at once under a rate limit are those of so much time.
pub const RATE_BURST: Duration = Duration::from_millis(100);

/// After so many ack deadlines a task that is slowed down reports what it has, and hands the rest back: going on for
/// long would look as though it were lost (see [`TASK_AGAIN_ACK_WAITS`]).
pub const PACED_TASK_ACK_WAITS: u32 = 4;

const _: () = assert!(PACED_TASK_ACK_WAITS * 2 < TASK_AGAIN_ACK_WAITS);

/// Whoever waits for its turn looks so often whether it is to stop.
pub const PACE_PIECE: Duration = Duration::from_millis(100);

/// Pauses shorter than this are made up for by the next one: timers are no finer.
pub const PACE_SLACK: Duration = Duration::from_millis(1);

/// How far a pause may begin early when the one before took too long: timers are late by so much.
pub const PACE_CREDIT: Duration = Duration::from_millis(2);

/// How long is remembered what was learned of a node at which nobody works.
pub const PACERS_KEPT: Duration = Duration::from_secs(60);

/// How far behind its primary a replica may be, as the table of settings writes it: so long is waited until it has
/// what the primary had when the work began. Beyond it, the primary is read.
pub const REPLICA_LAG: &str = "5s";

/// How long a replica may take to say how far it is, connecting included. One that is slower serves nobody well.
pub const REPLICA_ANSWER: Duration = Duration::from_secs(1);

/// How often a replica that is behind is asked again.
pub const REPLICA_POLL: Duration = Duration::from_millis(20);

/// How long a replica that did not answer is left alone.
pub const REPLICA_DOWN: Duration = Duration::from_secs(10);

/// Replicas of one primary that are looked at.
pub const REPLICAS_MAX: usize = 16;

/// The largest value that is saved before its key is deleted, if nobody sets another limit, as the table of settings
/// writes it, in bytes: reading and comparing it keep a server busy.
pub const BACKUP_VALUE_MAX: &str = "4194304";

/// Bytes of values, about, that are asked for in one write, or compared in one script call, unless it is a single value.
pub const BACKUP_WRITE_BYTES: u64 = 1 << 20;

/// The largest string that is read at first sight, before anything is known of its size, in bytes.
pub const BACKUP_TEXT_MAX: u64 = 4 << 10;

/// Keys that are asked for in one write.
pub const BACKUP_WRITE_KEYS: usize = 200;

/// Bytes of values, before compression, with which a backup file is full: a reaper holds one such file per batch.
pub const BACKUP_FILE_BYTES: usize = 8 << 20;

/// The largest backup file that is read, in bytes: one with the largest value that the settings allow, which does not
/// compress, and the keys before it.
pub const BACKUP_READ_MAX: u64 = 272 << 20;

/// How often a backup file is tried to be written until the run is cancelled.
pub const BACKUP_TRIES: u32 = 6;

/// The pause before the second try; it doubles, so that all of them take about six seconds.
pub const BACKUP_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Keys that are put back in one write.
pub const RESTORE_WRITE_KEYS: usize = 100;

/// Bytes of values that are put back in one write, unless it is a single value.
pub const RESTORE_WRITE_BYTES: usize = 1 << 20;

/// How often a key is tried to be put back whose slot is moving, or whose server is not ready.
pub const RESTORE_ROUNDS_MAX: u32 = 60;

/// The pause between two such tries.
pub const RESTORE_PAUSE: Duration = Duration::from_millis(500);
