//! The properties of a run.

use keysweep_model::result::CleanupResult;

use super::Section;
use super::blocks::{Block, Figure};
use crate::format::{duration, moment};

pub(super) fn section(result: &CleanupResult) -> Section<'_> {
    let mut summary = Vec::new();
    if let Some(place) = &result.backup {
        summary.push(Figure::text("Backup", format!("in {place}; restore with `keysweep restore`")));
    }
    if !result.pacing.summary.is_empty() {
        summary.push(Figure::text("Pacing", result.pacing.summary.as_str()));
    }
    let attempt = &result.attempt;
    let mut details = vec![
        Figure::code("Job", result.job.as_str()),
        Figure::code("Run", result.run_id.to_string()),
        Figure::text("Started", moment(&result.started_at)),
        Figure::text("Ended", moment(&result.finished_at)),
        Figure::text("Took", duration(result.duration_ms)),
        Figure::text("Started by", result.started_by.as_str()),
        Figure::text("Attempt", format!("{} of {}", attempt.number, attempt.of.max(attempt.number))),
        Figure::text("Action", result.action.as_str()),
    ];
    details.extend(attempt.previous.map(|run| Figure::code("Previous attempt", run.to_string())));
    let growth = result.metrics.growth.as_ref();
    details.extend(growth.map(|growth| Figure::code("Previous run", growth.run_id.to_string())));
    let summary = if summary.is_empty() { Vec::new() } else { vec![Block::Figures(summary)] };
    Section { id: "run", title: "The run", summary, details: vec![Block::Figures(details)] }
}
