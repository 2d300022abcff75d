//! What a run did by each of its rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Accounting;
use crate::limits::DETAILS_MAX;
use crate::messages::{RuleAction, RuleCounts, StatedRule};
use crate::printable;

/// Characters of a pattern that are shown.
const PATTERN_CHARS_MAX: usize = 120;

/// The figures of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleRow {
    /// The number of the rule in the job file, from 1.
    pub index: u32,
    /// The patterns of its keys; the first ten, shortened.
    #[serde(rename = "match")]
    pub matching: Vec<String>,
    /// Who answers for its keys; null if it does not say.
    pub owner: Option<String>,
    /// What it does: `delete`, `report`, `durable`, or `ttl` if it sees to TTLs.
    pub action: String,
    /// Keys that belong to it and existed when they were read.
    pub scanned: u64,
    /// Those without TTL.
    pub without_ttl: u64,
    /// Those of which a fact that could decide was unknown: nothing was done with them.
    pub undecided: u64,
    /// The outcomes of its candidates.
    #[serde(flatten)]
    pub accounting: Accounting,
}

impl RuleRow {
    /// The figures of `rule` with what scan tasks found of it, and the outcomes of its batches.
    #[must_use]
    pub fn of(rule: &StatedRule, counts: &RuleCounts, batches: Accounting) -> Self {
        let RuleCounts { rule: number, scanned, without_ttl, reported, too_long, field_ttl, undecided } =
            *counts;
        let mut accounting = batches;
        for (sum, kept) in [
            (&mut accounting.reported, reported),
            (&mut accounting.failed, too_long),
            (&mut accounting.field_ttl, field_ttl),
        ] {
            *sum = sum.saturating_add(kept);
            accounting.candidates = accounting.candidates.saturating_add(kept);
        }
        accounting.balanced = accounting.is_balanced();
        let shown = rule.matching.iter().take(DETAILS_MAX).map(ToString::to_string);
        Self {
            index: u32::from(number) + 1,
            matching: shown.map(|text| printable::shortened(&text, PATTERN_CHARS_MAX).into_owned()).collect(),
            owner: rule.owner.clone(),
            action: action(rule).to_owned(),
            scanned,
            without_ttl,
            undecided,
            accounting,
        }
    }
}

fn action(rule: &StatedRule) -> &'static str {
    match rule.action {
        Some(RuleAction::Delete) => "delete",
        Some(RuleAction::Report) => "report",
        None if rule.durable => "durable",
        None => "ttl",
    }
}
