//! The content of a report, as text and figures, for both formats.

use keysweep_model::result::CleanupResult;

use super::findings::{self, FindingView};
use super::headline::{self, Fact, StatusBanner, Tile};
use super::hits::HitRateView;
use super::keys::{AccountingView, InactiveView, PrefixesView, TtlView};
use super::servers;
use super::servers::{CoverageView, ServersView};
use super::table::Table;
use crate::format;

/// A report.
pub(super) struct PageView<'a> {
    /// The job's display name.
    pub(super) name: &'a str,
    /// The job's name.
    pub(super) job: &'a str,
    /// When the run ended.
    pub(super) finished: String,
    /// The status of the run.
    pub(super) standing: StatusBanner,
    /// The key figures.
    pub(super) tiles: Vec<Tile>,
    /// Firing alerts.
    pub(super) alerts: Vec<FindingView>,
    /// The issues.
    pub(super) issues: Vec<FindingView>,
    /// The recommendations.
    pub(super) recommendations: Vec<FindingView>,
    /// The outcomes of the candidates.
    pub(super) accounts: AccountingView,
    /// The hit rate.
    pub(super) hits: HitRateView,
    /// The remaining TTLs of the keys.
    pub(super) ttl: TtlView,
    /// The heaviest prefixes.
    pub(super) prefixes: PrefixesView<'a>,
    /// The caches of inactive users.
    pub(super) inactive: InactiveView,
    /// The coverage.
    pub(super) covered: CoverageView<'a>,
    /// One row per node.
    pub(super) nodes: Table,
    /// The health of the servers.
    pub(super) servers: ServersView<'a>,
    /// The properties of the run.
    pub(super) facts: Vec<Fact>,
}

impl<'a> PageView<'a> {
    /// Builds the view of `result`.
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
