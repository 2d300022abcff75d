//! Where a setting appears: the group of the documentation and of `--help`, and the commands whose command line has its
//! flag.

use super::setting_def::Section;

/// Settings that are documented together, and that share a heading in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which keys a job covers.
    Selection,
    /// How keys of inactive users are found.
    InactiveUsers,
    /// Metrics, reports and alerts.
    Reports,
    /// What happens to stale keys.
    Action,
    /// Checks and limits.
    Safety,
    /// Schedule and attempts.
    Schedule,
    /// Load limits.
    Pace,
    /// The HTTP API.
    Serve,
    /// The connection to Redis.
    Redis,
    /// The connection to NATS, and the streams there.
    Nats,
}

impl Group {
    /// Every group, in the order of the documentation and of a generated job file.
    pub const ALL: [Self; 10] = [
        Self::Selection,
        Self::Action,
        Self::Safety,
        Self::InactiveUsers,
        Self::Pace,
        Self::Schedule,
        Self::Reports,
        Self::Redis,
        Self::Nats,
        Self::Serve,
    ];

    /// The heading of its flags in `--help`.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Selection | Self::InactiveUsers => "Selection",
            Self::Reports => "Metrics and reports",
            Self::Action => "Action",
            Self::Safety | Self::Schedule => "Safety",
            Self::Pace => "Pace",
            Self::Serve => "Role",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
        }
    }

    /// What its settings are about, in a heading of the documentation; empty if the table's name says it.
    pub(super) const fn subject(self) -> &'static str {
        match self {
            Self::Selection => "what is cleaned",
            Self::InactiveUsers => "inactive users",
            Self::Reports => "metrics, reports, alerts",
            Self::Action => "action",
            Self::Safety => "safety",
            Self::Pace => "pace",
            Self::Schedule => "schedule and attempts",
            Self::Serve | Self::Redis | Self::Nats => "",
        }
    }

    /// Pages to read with it, as Markdown.
    pub(super) const fn pages(self) -> &'static str {
        match self {
            Self::Selection => "",
            Self::InactiveUsers => "[Inactive users](inactive-users.md)",
            Self::Reports => {
                "[Cache metrics](cache-metrics.md), [Results](results.md#the-report) and [Webhooks](webhooks.md)"
            }
            Self::Action => "[Safety](safety.md)",
            Self::Safety => "[Safety](safety.md) and [Backups](backup.md)",
            Self::Pace => "[Latency budget and rate limits](pacing.md) and [Replica reads](replicas.md)",
            Self::Schedule => {
                "[Distributed mode](distributed.md#schedule-and-retries); for `allow_override`, \
                 [HTTP](http.md#what-a-request-may-ask-for)"
            }
            Self::Serve => "[HTTP](http.md#enable-the-api)",
            Self::Redis => "[Connecting to Redis](reaching-redis.md)",
            Self::Nats => "[Distributed mode](distributed.md#connecting-to-nats)",
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
    /// `reaper` only.
    Reaper,
    /// `restore` only.
    Restore,
    /// `stats` only.
    Stats,
    /// `drive` only.
    Drive,
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
            Self::Job | Self::Redis | Self::Nats => None,
            Self::Serve | Self::Reaper => Some("Role"),
            Self::Restore | Self::Stats | Self::Drive => Some("Selection"),
        }
    }
}
