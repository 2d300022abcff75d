//! What a run did by each of its rules.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Accounting;
use crate::limits::DETAILS_MAX;
use crate::messages::{RuleAction, RuleCounts, StatedRule};
use crate::printable;

/// Characters of a pattern that are shown.
const PATTERN_CHARS_MAX: usize = 120;

/// Patterns in the name of a rule.
const NAME_PATTERNS_MAX: usize = 3;

/// Characters of a pattern in the name of a rule.
const NAME_CHARS_MAX: usize = 60;

/// A rule of a job, as findings and alerts name it. It is small, because each of them carries one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleName {
    /// The number of the rule in the job file, from 1.
    pub index: u32,
    /// The patterns of its keys; the first three, shortened.
    #[serde(rename = "match")]
    pub matching: Vec<String>,
    /// Who answers for its keys; null if it does not say.
    pub owner: Option<String>,
}

impl RuleName {
    /// The name of `rule`, which has this number, from 0.
    #[must_use]
    pub fn of(number: u16, rule: &StatedRule) -> Self {
        let shown = rule.matching.iter().take(NAME_PATTERNS_MAX).map(ToString::to_string);
        let matching = shown.map(|text| printable::shortened(&text, NAME_CHARS_MAX).into_owned()).collect();
        Self { index: u32::from(number) + 1, matching, owner: rule.owner.clone() }
    }

    /// Whether both name the same rule, also if another owner answers for it.
    #[must_use]
    pub fn is_same_rule(&self, other: &Self) -> bool {
        (self.index, &self.matching) == (other.index, &other.matching)
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, matching, owner } = self;
        let patterns: Vec<String> = matching.iter().map(|pattern| format!("`{pattern}`")).collect();
        write!(f, "rule {index} ({}", patterns.join(" "))?;
        owner.iter().try_for_each(|owner| write!(f, ", owner {owner}"))?;
        write!(f, ")")
    }
}

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
    /// The name of the rule.
    #[must_use]
    pub fn name(&self) -> RuleName {
        let shown = self.matching.iter().take(NAME_PATTERNS_MAX);
        let matching = shown.map(|text| printable::shortened(text, NAME_CHARS_MAX).into_owned()).collect();
        RuleName { index: self.index, matching, owner: self.owner.clone() }
    }

    /// How many of its keys broke it when they were read: those that it changes or reports, or would. A hash whose fields
    /// expire breaks no rule.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.accounting.candidates.saturating_sub(self.accounting.field_ttl)
    }

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
