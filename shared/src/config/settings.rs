//! The resolved settings of one job: what everything behind the command line works with.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deployment::RedisSettings;
use super::login::SecretSource;
use super::nats::NatsSettings;
use super::origin::Setting;
use super::redact::redact;
use super::secret::Secret;
use crate::ids::Alias;
use crate::messages::Verify;

/// What happens to a stale key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfiguredAction {
    /// It is deleted.
    Delete,
    /// It gets a TTL: the repair.
    Expire,
    /// It is counted and left alone.
    Report,
}

impl fmt::Display for ConfiguredAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Expire => "expire",
            Self::Report => "report",
        })
    }
}

/// Where to find something: a word of the table, and what follows its colon. A URL in it may hold a password, so it is
/// shown redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivitySetting {
    /// The word, such as `zset`.
    pub word: &'static str,
    /// A key or a URL; empty behind a word that needs none.
    pub what: String,
}

impl fmt::Debug for ActivitySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ActivitySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what.as_str() {
            "" => f.write_str(self.word),
            what => write!(f, "{}:{}", self.word, redact(what)),
        }
    }
}

/// Where keys are saved before they are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupPlace {
    /// This directory.
    Directory(PathBuf),
    /// This bucket of the object store of NATS.
    Bucket(String),
}

impl BackupPlace {
    /// The place that is written like this, as a run's spec tells it.
    #[must_use]
    pub fn written(text: &str) -> Self {
        match text.strip_prefix("nats://") {
            Some(bucket) => Self::Bucket(bucket.to_owned()),
            None => Self::Directory(PathBuf::from(text)),
        }
    }
}

impl fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => write!(f, "nats://{bucket}"),
        }
    }
}

/// Queries of counters.
#[derive(Clone, Debug)]
pub struct Queries {
    /// Hits.
    pub hits: Setting<Option<String>>,
    /// Misses.
    pub misses: Setting<Option<String>>,
    /// Errors.
    pub errors: Setting<Option<String>>,
}

/// One job's settings, each with its origin. All values are within the bounds of the table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The job's name; it is part of lock keys and subjects.
    pub job: Setting<String>,
    /// Its name in log lines.
    pub display_name: Setting<String>,
    /// The name under which messages know the Redis deployment.
    pub alias: Setting<Alias>,
    /// How to reach it.
    pub redis: RedisSettings,
    /// The database; the URLs' own is overruled by it.
    pub db: Setting<u32>,
    /// Keys to clean, at least one pattern of 1 to 1024 bytes.
    pub patterns: Setting<Vec<String>>,
    /// Keys never to touch.
    pub protect: Setting<Vec<String>>,
    /// What happens to stale keys. A dry run turns it into [`ConfiguredAction::Report`]; see
    /// [`Settings::effective_action`].
    pub action: Setting<ConfiguredAction>,
    /// The TTL that [`ConfiguredAction::Expire`] gives.
    pub expire_ttl: Setting<Duration>,
    /// A random time of up to this much is added to each such TTL, so that keys repaired together
    /// do not expire together.
    pub jitter: Setting<Duration>,
    /// The least time between the two looks at a stale key.
    pub grace: Setting<Duration>,
    /// What must be the same at both for it to be deleted.
    pub verify: Setting<Verify>,
    /// No write command is sent.
    pub dry_run: Setting<bool>,
    /// Whether keys are looked at also on nodes that have none without TTL.
    pub full_scan: Setting<bool>,
    /// Inactive users' keys go as well.
    pub aggressive_cleanup: Setting<bool>,
    /// Days without activity that make a user inactive.
    pub inactivity_threshold_days: Setting<u32>,
    /// Where the user's id stands in a key: `permissions:{user}:*`.
    pub identity: Setting<Option<String>>,
    /// Who is active.
    pub activity: Setting<Option<ActivitySetting>>,
    /// Keys of inactive users that expire so soon are left to do so.
    pub near_expiry: Setting<Duration>,
    /// Keys of inactive users go, also where no key of an active one is met.
    pub allow_no_active: Setting<bool>,
    /// Where hits and misses are counted.
    pub hit_rate: Setting<ActivitySetting>,
    /// The Prometheus queries of hits, misses and errors.
    pub queries: Queries,
    /// A report of each run is written.
    pub generate_report: Setting<bool>,
    /// Where reports are written; `None` if there is no place for them.
    pub report_dir: Setting<Option<PathBuf>>,
    /// Where the history of runs is kept without NATS; `None` if it is not.
    pub state_dir: Setting<Option<PathBuf>>,
    /// Where keys are saved before they are deleted; `None` if they are not.
    pub backup: Setting<Option<BackupPlace>>,
    /// Keys that take more bytes are neither saved nor deleted, where they are to be saved.
    pub backup_value_max: Setting<u64>,
    /// How often samples are taken between runs.
    pub sample_every: Setting<Duration>,
    /// URLs that alerts are posted to.
    pub webhooks: Setting<Vec<Secret>>,
    /// What signs those posts.
    pub webhook_secret: Setting<Option<Secret>>,
    /// Slack-compatible URLs that alerts are posted to.
    pub slack_webhooks: Setting<Vec<Secret>>,
    /// Keys to ask for per SCAN call.
    pub scan_batch_size: Setting<u32>,
    /// Keys per deletion call.
    pub delete_batch_size: Setting<u32>,
    /// How much the p99 of the application's requests may grow; `None` at full speed.
    pub latency_budget: Setting<Option<Duration>>,
    /// Keys that the run may read in a second.
    pub rate_limit: Setting<Option<u64>>,
    /// Nothing is held back for the application's latency.
    pub max_speed: Setting<bool>,
    /// Keys are listed and looked up on replicas, where there are some in step.
    pub reads_replicas: Setting<bool>,
    /// How far behind its primary a replica may be.
    pub replica_lag: Setting<Duration>,
    /// The largest share of the matching keys that may be deleted, 0 to 100.
    pub max_delete_percent: Setting<u8>,
    /// The run is cancelled after this time.
    pub max_runtime: Setting<Option<Duration>>,
    /// How long to wait for another run of the job to end; zero refuses at once.
    pub lock_wait: Setting<Duration>,
    /// Fields in which requests over HTTP and NATS may ask for more than the job, of [`super::OVERRIDES`].
    pub allow_override: Setting<Vec<&'static str>>,
    /// How often a run is tried before it counts as failed, 1 to 10.
    pub attempts: Setting<u32>,
    /// How long to wait before a run is tried again.
    pub retry_backoff: Setting<Duration>,
    /// A run that was due while nobody was there is made up for.
    pub catch_up: Setting<bool>,
    /// The cron schedule as text, unchecked.
    pub schedule: Setting<String>,
    /// The schedule's time zone as text, unchecked.
    pub timezone: Setting<String>,
    /// The TTL that the application sets.
    pub configured_ttl: Setting<Duration>,
    /// What programs prove with that they may use the HTTP API; without it, nobody may.
    pub api_token: Setting<Option<SecretSource>>,
    /// The NATS connection; `None` if everything happens in one process.
    pub nats: Option<NatsSettings>,
}

impl Settings {
    /// What the run does to stale keys, a dry run considered.
    #[must_use]
    pub fn effective_action(&self) -> ConfiguredAction {
        if self.dry_run.value { ConfiguredAction::Report } else { self.action.value }
    }
}
