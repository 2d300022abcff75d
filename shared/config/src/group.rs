//! Where a setting appears: the group of the documentation and of `--help`, and the commands whose command line has its
//! flag.

use strum::VariantArray;

use super::setting_def::Section;

/// Settings that are documented together, and that share a heading in `--help`; in the order of the documentation and
/// of a generated job file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Group {
    /// Which keys a job covers.
    Selection,
    /// What happens to stale keys.
    Action,
    /// Checks and limits.
    Safety,
    /// How keys of inactive users are found.
    InactiveUsers,
    /// Load limits.
    Pace,
    /// Schedule and attempts.
    Schedule,
    /// Metrics, reports and alerts.
    Reports,
    /// The connection to Redis.
    Redis,
    /// The connection to NATS, and the streams there.
    Nats,
    /// The HTTP endpoints and the API.
    Serve,
}

impl Group {
    /// The heading of its flags in `--help`.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        self.texts().0
    }

    /// What its settings are about, in a heading of the documentation; empty if the table's name says it.
    pub(super) const fn subject(self) -> &'static str {
        self.texts().1
    }

    /// Pages to read with it, as Markdown.
    pub(super) const fn pages(self) -> &'static str {
        self.texts().2
    }

    /// The heading, the subject and the pages.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Selection => ("Selection", "what is cleaned", ""),
            Self::InactiveUsers => ("Selection", "inactive users", "[Inactive users](inactive-users.md)"),
            Self::Reports => (
                "Metrics and reports",
                "metrics, reports, alerts",
                "[Cache metrics](cache-metrics.md), [Results](results.md#the-report) and [Webhooks](webhooks.md)",
            ),
            Self::Action => ("Action", "action", "[Safety](safety.md)"),
            Self::Safety => ("Safety", "safety", "[Safety](safety.md) and [Backups](backup.md)"),
            Self::Pace => (
                "Pace",
                "pace",
                "[Latency budget and rate limits](pacing.md) and [Replica reads](replicas.md)",
            ),
            Self::Schedule => (
                "Safety",
                "schedule and attempts",
                "[Schedule](schedule.md) and [Distributed mode](distributed.md#schedule-and-retries); for `allow_override`, \
                 [HTTP](http.md#what-a-request-may-ask-for)",
            ),
            Self::Serve => ("Role", "", "[HTTP](http.md)"),
            Self::Redis => ("Redis", "", "[Connecting to Redis](reaching-redis.md)"),
            Self::Nats => ("NATS", "", "[Distributed mode](distributed.md#connecting-to-nats)"),
        }
    }
}

/// A part of a command's command line. Each command has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All flags of a job: `run`, `plan`, `serve` and `config show`.
    Job,
    /// The connection to Redis: every command that goes there.
    Redis,
    /// The connection to NATS: every command that goes there.
    Nats,
    /// `serve` only.
    Serve,
    /// Every worker.
    Worker,
    /// `health` only.
    Health,
    /// Workers that are reapers.
    Reaper,
    /// `inspect` only.
    Inspect,
    /// `restore` only.
    Restore,
    /// `stats` only.
    Stats,
    /// `runs` and `events` only.
    Runs,
    /// `drive` only.
    Drive,
    /// `ttl advise` only.
    TtlAdvise,
}

impl Scope {
    /// The scope of the settings of one table of the job file.
    pub(super) const fn of(section: Section) -> Self {
        match section {
            Section::Job => Self::Job,
            Section::Redis => Self::Redis,
            Section::Nats => Self::Nats,
            Section::Serve => Self::Serve,
        }
    }

    /// The heading of its flags in `--help`, if it is not that of their group.
    #[must_use]
    pub const fn heading(self) -> Option<&'static str> {
        match self {
            Self::Job | Self::Redis | Self::Nats | Self::Inspect | Self::TtlAdvise => None,
            Self::Serve | Self::Worker | Self::Health | Self::Reaper => Some("Role"),
            Self::Restore | Self::Stats | Self::Runs | Self::Drive => Some("Selection"),
        }
    }
}
