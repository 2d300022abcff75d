//! A plan as a page of text, and as JSON. Pure.

use std::fmt::Write;

use reporter::{cell, grouped, slots, tidy, wrap};
use serde_json::{Value, json};
use shared::messages::Action;

use crate::options::Options;
use crate::survey::Survey;

/// The plan for people. Writing to a string cannot fail, so results of `writeln!` are dropped.
#[must_use]
pub fn text(survey: &Survey, options: &Options) -> String {
    let mut page = String::new();
    let patterns =
        |list: &[shared::glob::Pattern]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let rules = &options.rules;
    let dry = if options.dry_run { " (dry run)" } else { "" };
    let headline = format!("Plan of job `{}`: {} keys without TTL{dry}", options.job, rules.action.name());
    let _ = writeln!(page, "{}", wrap(&headline, 0));
    let _ = writeln!(page, "  patterns   {}", wrap(&patterns(&rules.patterns), 13));
    if !rules.protect.is_empty() {
        let _ = writeln!(page, "  protected  {}", wrap(&patterns(&rules.protect), 13));
    }
    let _ = writeln!(page);
    row(&mut page, "node", ["version", "slots", "keys", "matching", "stale"].map(str::to_owned));
    for node in &survey.nodes {
        row(
            &mut page,
            &node.address,
            [
                node.version.chars().take(12).collect(),
                slots(node.slots),
                grouped(node.keys),
                grouped(node.estimate.matching_keys),
                grouped(node.estimate.stale_ttl_keys),
            ],
        );
    }
    let estimate = &survey.estimate;
    let sure = if estimate.exact { "counted" } else { "estimated from a sample" };
    let (matching, stale) = (grouped(estimate.matching_keys), grouped(estimate.stale_ttl_keys));
    let found = format!("{matching} keys match and {stale} of them are stale: {sure}");
    let _ = writeln!(page, "\n  {}", wrap(&found, 2));
    if estimate.protected_keys > 0 {
        let _ = writeln!(page, "  {} of the stale keys are protected", grouped(estimate.protected_keys));
    }
    if !survey.missing.is_empty() {
        let missing = format!("NOT COVERED, because nobody serves them: slots {}", survey.missing);
        let _ = writeln!(page, "  {}", wrap(&missing, 2));
    }
    let _ = writeln!(page, "  {}", wrap(&verdict(survey, options), 2));
    tidy(&page)
}

fn verdict(survey: &Survey, options: &Options) -> String {
    let (candidates, percent) = (grouped(survey.estimate.candidates()), survey.estimate.percent());
    match options.rules.action {
        Action::Delete => {
            let limit = options.max_delete_percent;
            let verb = if percent > f64::from(limit) { "REFUSED by" } else { "within" };
            format!("{candidates} keys would be deleted ({percent:.1}%), {verb} the limit of {limit}%")
        }
        Action::Expire { ttl_ms, .. } => {
            format!("{candidates} keys would be given a TTL of {} s ({percent:.1}%)", ttl_ms / 1_000)
        }
        Action::Report => {
            format!("{candidates} keys would be reported ({percent:.1}%); nothing would be changed")
        }
    }
}

fn row(page: &mut String, node: &str, cells: [String; 5]) {
    let node = cell(page, node, 21);
    let [version, slots, keys, matching, stale] = cells;
    let _ = writeln!(page, "  {node:<21} {version:<12} {slots:>6} {keys:>11} {matching:>11} {stale:>11}");
}

/// The plan for programs.
#[must_use]
pub fn json(survey: &Survey, options: &Options) -> Value {
    let estimate = &survey.estimate;
    json!({
        "job": options.job,
        "action": options.rules.action.name(),
        "dryRun": options.dry_run,
        "patterns": options.rules.patterns.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protect": options.rules.protect.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "matchingKeys": estimate.matching_keys,
        "staleTTLKeys": estimate.stale_ttl_keys,
        "protectedKeys": estimate.protected_keys,
        "exact": estimate.exact,
        "candidates": estimate.candidates(),
        "percent": estimate.percent(),
        "maxDeletePercent": options.max_delete_percent,
        "missingSlots": (!survey.missing.is_empty()).then(|| survey.missing.to_string()),
        "tasks": survey.tasks.len(),
        "nodes": survey.nodes,
    })
}
