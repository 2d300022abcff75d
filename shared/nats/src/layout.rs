//! The streams, buckets and consumers in NATS, with their names and limits. Pure.
//!
//! | stream | subjects | content |
//! |---|---|---|
//! | `KEYSWEEP_TASKS`, `KEYSWEEP_BATCHES` | `keysweep.tasks`, `keysweep.batches` | the work queues |
//! | `KEYSWEEP_EVENTS` | `keysweep.events.>` | events for subscribers |
//! | `KEYSWEEP_DEAD` | `keysweep.dead.>` | dead letters |
//! | `KV_keysweep_runs` | `$KV.keysweep_runs.>` | the records of runs |
//! | `KV_keysweep_locks` | `$KV.keysweep_locks.>` | leases of jobs, and the state of their schedules |
//! | `KV_keysweep_history` | `$KV.keysweep_history.>` | one entry per run |
//! | `KV_keysweep_samples` | `$KV.keysweep_samples.>` | counter snapshots, alerts, weekly summaries, decisions about schedules |
//! | `KV_keysweep_audit` | `$KV.keysweep_audit.>` | deleted keys |
//!
//! The progress of tasks goes to `keysweep.notes.<run>`, and what workers say of themselves to `keysweep.notes.workers`.
//! No stream stores these.
//!
//! Every stream except the queues keeps one message per subject, which makes create-once possible.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use keysweep_config::Storage;
use keysweep_model::limits::MESSAGE_BYTES_MAX;
use keysweep_storage::queue::Topic;
use keysweep_storage::task_notes::NoteSubject;

use super::access::NatsOptions;
use crate::limits::{
    DEAD_LETTERS_BYTES_MAX, EVENTS_BYTES_MAX, EVENTS_KEPT, HEADER_BYTES, SAMPLES_BYTES_MAX, SAMPLES_KEPT,
    TASK_QUEUE_PART,
};

/// The name of the consumer of each work queue.
pub(super) const WORKERS: &str = "workers";

/// Messages of a work queue that may be unacknowledged at a time.
const IN_HAND_MAX: i64 = 10_000;

/// The deduplication window of a task that is published again.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The first words of the store's keys, and their buckets.
const BUCKETS: [(&str, &str); 20] = [
    ("runs", "runs"),
    ("activity", "runs"),
    ("failures", "runs"),
    ("attempts", "runs"),
    ("progress", "runs"),
    ("locks", "locks"),
    ("due", "locks"),
    ("history", "history"),
    ("samples", "samples"),
    ("alerts", "samples"),
    ("summaries", "samples"),
    ("counts", "samples"),
    ("decisions", "samples"),
    ("ttl-advice", "samples"),
    ("ttl-looks", "samples"),
    ("ttl-panel", "samples"),
    ("audit", "audit"),
    ("kept", "audit"),
    ("dead", "dead"),
    ("events", "events"),
];

/// Names and limits of streams and consumers.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) access: NatsOptions,
}

impl Layout {
    /// The layout for `access`.
    #[must_use]
    pub fn new(access: &NatsOptions) -> Self {
        Self { access: access.clone() }
    }

    /// The subject of a work queue.
    #[must_use]
    pub fn queue_subject(&self, topic: Topic) -> String {
        format!("{}.{}", self.access.prefix, topic.as_str())
    }

    /// The stream of a work queue.
    #[must_use]
    pub fn queue_stream(&self, topic: Topic) -> String {
        self.stream_name(topic.as_str())
    }

    /// The subject of a request to the service.
    #[must_use]
    pub fn api_subject(&self, endpoint: &str) -> String {
        format!("{}.api.{endpoint}", self.access.prefix)
    }

    /// The subject of notes. No stream stores it.
    #[must_use]
    pub fn notes_subject(&self, about: NoteSubject) -> String {
        let about = match about {
            NoteSubject::Run(run) => run.to_string(),
            NoteSubject::Workers => "workers".to_owned(),
        };
        format!("{}.notes.{about}", self.access.prefix)
    }

    /// The stream and the subject of an entry or a prefix of the store. `None` for a key of no bucket, and for an
    /// unsafe key: spaces or line breaks would inject a command, and wildcards would match other entries.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<(String, String)> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"*>".contains(&byte);
        let bucket = bucket(key).filter(|_| key.bytes().all(is_plain))?;
        let (stream, subjects) = self.bucket_names(bucket);
        Some((stream, format!("{subjects}{}", key.replace('/', "."))))
    }

    /// The stream of the entries of `key`, which may contain wildcards.
    pub(super) fn stream_of(&self, key: &str) -> Option<String> {
        bucket(key).map(|bucket| self.bucket_names(bucket).0)
    }

    /// The stream of a bucket, and the prefix of its subjects.
    fn bucket_names(&self, bucket: &str) -> (String, String) {
        match bucket {
            "dead" | "events" => (self.stream_name(bucket), format!("{}.", self.access.prefix)),
            _ => (self.bucket_stream(bucket), self.bucket_subjects(bucket)),
        }
    }

    /// The key of the entry at `subject`.
    #[must_use]
    pub fn key(&self, subject: &str) -> String {
        let bucket = subject.strip_prefix("$KV.").and_then(|rest| rest.split_once('.'));
        let plain = subject.strip_prefix(&self.access.prefix).and_then(|rest| rest.strip_prefix('.'));
        let dotted = bucket.map(|(_, dotted)| dotted).or(plain).unwrap_or(subject);
        dotted.replace('.', "/")
    }

    /// All streams with their required configuration.
    #[must_use]
    pub fn streams(&self) -> Vec<Config> {
        let retention = self.access.retention;
        let mut streams: Vec<Config> = [Topic::Tasks, Topic::Batches].map(|topic| self.queue(topic)).into();
        streams.push(Config {
            max_age: EVENTS_KEPT,
            max_bytes: EVENTS_BYTES_MAX,
            ..self.stream_config("events", "events for subscribers, as CloudEvents JSON")
        });
        streams.push(Config {
            max_age: retention,
            max_bytes: DEAD_LETTERS_BYTES_MAX,
            ..self.stream_config("dead", "dead letters")
        });
        streams.push(Config { max_age: retention, ..self.bucket("runs", "records of runs") });
        streams.push(Config { max_age: retention, ..self.bucket("locks", "leases of jobs") });
        let runs = i64::try_from(self.access.history_runs).unwrap_or(i64::MAX);
        streams.push(Config { max_messages: runs, ..self.bucket("history", "one entry per run") });
        streams.push(Config {
            max_age: SAMPLES_KEPT,
            max_bytes: SAMPLES_BYTES_MAX,
            ..self.bucket("samples", "counter snapshots, alerts, weekly summaries")
        });
        let bytes = i64::try_from(self.access.audit_bytes).unwrap_or(i64::MAX);
        streams.push(Config { max_bytes: bytes, ..self.bucket("audit", "deleted keys") });
        streams
    }

    /// The bytes that all streams reserve together, for each replica.
    #[must_use]
    pub fn bytes_set_aside(&self) -> i64 {
        self.streams().iter().map(|stream| stream.max_bytes.max(0)).sum()
    }

    /// The consumer of a work queue: one for all workers, with unlimited deliveries, because keysweep ends a message
    /// that fails permanently by a record; the server must not drop it.
    #[must_use]
    pub fn consumer(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(WORKERS.to_owned()),
            description: Some("all workers of keysweep".to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.access.ack_wait,
            max_deliver: -1,
            max_ack_pending: IN_HAND_MAX,
            ..pull::Config::default()
        }
    }

    fn queue(&self, topic: Topic) -> Config {
        let (what, bytes) = match topic {
            Topic::Tasks => (
                "scan tasks, from the coordinator to the scanners",
                self.access.queue_bytes / TASK_QUEUE_PART,
            ),
            Topic::Batches => ("reap batches, from the scanners to the reapers", self.access.queue_bytes),
        };
        Config {
            subjects: vec![self.queue_subject(topic)],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            duplicate_window: DUPLICATE_WINDOW,
            ..self.stream(topic.as_str(), what)
        }
    }

    /// A stream of entries that are created once and expire.
    fn stream_config(&self, name: &str, what: &str) -> Config {
        Config {
            subjects: vec![format!("{}.{name}.>", self.access.prefix)],
            discard: DiscardPolicy::Old,
            allow_direct: true,
            ..self.stream(name, what)
        }
    }

    /// A bucket in the format of NATS key-value clients, so that people can inspect it with them.
    fn bucket(&self, name: &str, what: &str) -> Config {
        Config {
            name: self.bucket_stream(name),
            subjects: vec![format!("{}>", self.bucket_subjects(name))],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::Old,
            allow_direct: true,
            ..self.stream(name, what)
        }
    }

    /// The stream of a bucket of the object store in the format of NATS clients, but without roll-ups.
    #[must_use]
    pub fn object_bucket(&self, name: &str) -> Config {
        Config {
            name: bucket_stream(name),
            subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
            num_replicas: self.access.replicas,
            allow_direct: true,
            allow_rollup: false,
            discard: DiscardPolicy::New,
            ..Config::default()
        }
    }

    /// The bucket for which `deploy/nats-account.conf` grants permissions.
    #[must_use]
    pub fn usual_bucket(&self) -> String {
        format!("{}_backup", self.access.prefix)
    }

    fn stream(&self, name: &str, what: &str) -> Config {
        Config {
            name: self.stream_name(name),
            description: Some(format!("keysweep: {what}")),
            storage: match self.access.storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            num_replicas: self.access.replicas,
            max_bytes: -1,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            // Room for the headers of the largest message.
            max_message_size: i32::try_from(MESSAGE_BYTES_MAX + HEADER_BYTES).unwrap_or(-1),
            // keysweep neither deletes nor purges. With roll-ups, a client that may write to one subject could empty
            // the stream.
            allow_rollup: false,
            deny_delete: true,
            deny_purge: true,
            duplicate_window: DUPLICATE_WINDOW,
            ..Config::default()
        }
    }

    fn stream_name(&self, name: &str) -> String {
        format!("{}_{name}", self.access.prefix).to_ascii_uppercase()
    }

    fn bucket_stream(&self, bucket: &str) -> String {
        format!("KV_{}_{bucket}", self.access.prefix)
    }

    fn bucket_subjects(&self, bucket: &str) -> String {
        format!("$KV.{}_{bucket}.", self.access.prefix)
    }
}

/// The stream of a bucket of the object store.
pub(super) fn bucket_stream(name: &str) -> String {
    format!("OBJ_{name}")
}

/// The bucket of the entries of `key`.
fn bucket(key: &str) -> Option<&'static str> {
    let first = key.split('/').next()?;
    BUCKETS.iter().find(|(word, _)| *word == first).map(|(_, bucket)| *bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_subjects_round_trip() {
        let layout = Layout::new(&NatsOptions { prefix: "ks-1".to_owned(), ..NatsOptions::open("nats://x") });
        let check = |key: &str, stream: &str, subject: &str| {
            assert_eq!(layout.place(key), Some((stream.to_owned(), subject.to_owned())));
            assert_eq!(layout.key(subject), key);
        };
        check("runs/1/report/2", "KV_ks-1_runs", "$KV.ks-1_runs.runs.1.report.2");
        check("attempts/1/2", "KV_ks-1_runs", "$KV.ks-1_runs.attempts.1.2");
        check("locks/nightly", "KV_ks-1_locks", "$KV.ks-1_locks.locks.nightly");
        check("dead/1", "KS-1_DEAD", "ks-1.dead.1");
        assert_eq!(layout.place("other/1"), None);
        for odd in ["a b", "a\r\nPUB x 0\r\n", "*", ">", "\u{202e}", "\u{1b}[2J"] {
            assert_eq!(layout.place(&format!("runs/{odd}/spec")), None);
            assert_eq!(layout.stream_of(&format!("runs/{odd}/spec")).as_deref(), Some("KV_ks-1_runs"));
        }
    }

    #[test]
    fn every_subject_is_in_a_stream() {
        let layout = Layout::new(&NatsOptions::open("nats://x"));
        let streams = layout.streams();
        for (word, _) in BUCKETS {
            let (name, subject) = layout.place(&format!("{word}/1")).unwrap();
            let stream = streams.iter().find(|stream| stream.name == name).unwrap();
            let all = stream.subjects[0].strip_suffix('>').unwrap();
            assert!(subject.starts_with(all), "{subject} is not in {name}");
        }
    }
}
