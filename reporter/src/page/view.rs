//! What a report says, in words and figures, for every kind of page.

use shared::result::CleanupResult;

use super::findings::{self, Note};
use super::headline::{self, Fact, Standing, Tile};
use super::hits::Hits;
use super::keys::{Accounts, Inactive, Prefixes, Ttl};
use super::servers::{Covered, Servers};
use super::table::Table;
use super::{servers, words};

/// A report.
pub(super) struct View<'a> {
    /// The job's display name.
    pub(super) name: &'a str,
    /// The job's name.
    pub(super) job: &'a str,
    /// When the run ended.
    pub(super) finished: String,
    /// How it ended.
    pub(super) standing: Standing,
    /// The figures that come first.
    pub(super) tiles: Vec<Tile>,
    /// Alerts that hold.
    pub(super) alerts: Vec<Note>,
    /// Problems.
    pub(super) issues: Vec<Note>,
    /// Advice.
    pub(super) recommendations: Vec<Note>,
    /// What became of every candidate.
    pub(super) accounts: Accounts,
    /// The hit rate.
    pub(super) hits: Hits,
    /// How long keys live on.
    pub(super) ttl: Ttl,
    /// Where the keys are.
    pub(super) prefixes: Prefixes<'a>,
    /// Inactive users' caches.
    pub(super) inactive: Inactive,
    /// What was read.
    pub(super) covered: Covered<'a>,
    /// One row per node.
    pub(super) nodes: Table,
    /// How the servers are.
    pub(super) servers: Servers<'a>,
    /// Which run it was.
    pub(super) facts: Vec<Fact>,
}

impl<'a> View<'a> {
    /// What is said of `result`.
    pub(super) fn of(result: &'a CleanupResult, name: &'a str) -> Self {
        Self {
            name,
            job: &result.job,
            finished: words::moment(&result.finished_at),
            standing: headline::standing(result),
            tiles: headline::tiles(result),
            alerts: findings::alerts(result),
            issues: findings::issues(result),
            recommendations: findings::recommendations(result),
            accounts: Accounts::of(result),
            hits: Hits::of(&result.metrics.hit_rates),
            ttl: Ttl::of(result),
            prefixes: Prefixes::of(result),
            inactive: Inactive::of(result),
            covered: Covered::of(result),
            nodes: servers::nodes(&result.nodes),
            servers: Servers::of(&result.metrics.redis_health),
            facts: headline::facts(result),
        }
    }
}
