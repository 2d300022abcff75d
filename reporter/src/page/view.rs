//! What a report says, in words and figures, for every kind of page.

use shared::result::CleanupResult;

use super::findings::{self, FindingView};
use super::headline::{self, Fact, StatusBanner, Tile};
use super::hits::HitRateView;
use super::keys::{AccountingView, InactiveView, PrefixesView, TtlView};
use super::servers::{CoverageView, ServersView};
use super::table::Table;
use super::{format, servers};

/// A report.
pub(super) struct PageView<'a> {
    /// The job's display name.
    pub(super) name: &'a str,
    /// The job's name.
    pub(super) job: &'a str,
    /// When the run ended.
    pub(super) finished: String,
    /// How it ended.
    pub(super) standing: StatusBanner,
    /// The figures that come first.
    pub(super) tiles: Vec<Tile>,
    /// Alerts that hold.
    pub(super) alerts: Vec<FindingView>,
    /// Problems.
    pub(super) issues: Vec<FindingView>,
    /// Advice.
    pub(super) recommendations: Vec<FindingView>,
    /// What became of every candidate.
    pub(super) accounts: AccountingView,
    /// The hit rate.
    pub(super) hits: HitRateView,
    /// How long keys live on.
    pub(super) ttl: TtlView,
    /// Where the keys are.
    pub(super) prefixes: PrefixesView<'a>,
    /// Inactive users' caches.
    pub(super) inactive: InactiveView,
    /// What was read.
    pub(super) covered: CoverageView<'a>,
    /// One row per node.
    pub(super) nodes: Table,
    /// How the servers are.
    pub(super) servers: ServersView<'a>,
    /// Which run it was.
    pub(super) facts: Vec<Fact>,
}

impl<'a> PageView<'a> {
    /// What is said of `result`.
    pub(super) fn of(result: &'a CleanupResult, name: &'a str) -> Self {
        Self {
            name,
            job: &result.job,
            finished: format::moment(&result.finished_at),
            standing: headline::standing(result),
            tiles: headline::tiles(result),
            alerts: findings::alerts(result),
            issues: findings::issues(result),
            recommendations: findings::recommendations(result),
            accounts: AccountingView::of(result),
            hits: HitRateView::of(&result.metrics.hit_rates),
            ttl: TtlView::of(result),
            prefixes: PrefixesView::of(result),
            inactive: InactiveView::of(result),
            covered: CoverageView::of(result),
            nodes: servers::nodes(&result.nodes),
            servers: ServersView::of(&result.metrics.redis_health),
            facts: headline::facts(result),
        }
    }
}
