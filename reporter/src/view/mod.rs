//! The view of a result: its sentences, figures and tables, derived once. All printers print it. Pure.

mod blocks;
mod coverage;
mod figures;
mod findings;
mod health;
mod hits;
mod inactive;
mod known;
mod outcomes;
mod prefixes;
mod rules;
mod run;
mod status;
mod ttl;
mod ttl_advice;

use keysweep_model::result::CleanupResult;

pub use blocks::{Block, Chart, Figure, FindingView, Kind, Ranked, Ranking, Table, Tone, Verdict};
pub(crate) use status::StatusView;
pub(crate) use ttl::range;
pub use ttl_advice::ttl_advice;

use crate::format;

/// What a page states about a run.
pub(crate) struct View<'a> {
    /// The job's display name.
    pub(crate) name: &'a str,
    pub(crate) job: &'a str,
    pub(crate) run: String,
    /// `attempt 2 of 3`; `None` for the first.
    pub(crate) attempt: Option<String>,
    /// When the run ended.
    pub(crate) finished: String,
    pub(crate) status: StatusView,
    /// The key figures.
    pub(crate) figures: Vec<Figure>,
    /// Alerts, issues and recommendations.
    pub(crate) findings: [Section<'a>; 3],
    pub(crate) sections: Vec<Section<'a>>,
}

/// A part of a page with a title.
pub(crate) struct Section<'a> {
    /// The anchor in HTML.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// The part for all printers.
    pub(crate) summary: Vec<Block<'a>>,
    /// What only reports contain, below the summary.
    pub(crate) details: Vec<Block<'a>>,
}

impl<'a> View<'a> {
    pub(crate) fn of(result: &'a CleanupResult, name: &'a str) -> Self {
        Self {
            name,
            job: &result.job,
            run: result.run_id.to_string(),
            attempt: format::attempt(&result.attempt),
            finished: format::moment(&result.finished_at),
            status: StatusView::of(result),
            figures: figures::figures(result),
            findings: findings::sections(result),
            sections: [outcomes::section(result)]
                .into_iter()
                .chain(rules::section(result))
                .chain([hits::section(&result.metrics.hit_rates), ttl::section(result)])
                .chain(result.metrics.ttl_advice.as_deref().map(ttl_advice::section))
                .chain([
                    prefixes::section(result),
                    inactive::section(result),
                    coverage::section(result),
                    coverage::nodes(&result.nodes),
                    health::section(&result.metrics.redis_health),
                    run::section(result),
                ])
                .collect(),
        }
    }
}

impl<'a> Section<'a> {
    /// All blocks, in order.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block<'a>> {
        self.summary.iter().chain(&self.details)
    }
}
