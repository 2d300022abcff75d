//! The rules of a job in its plan: for which keys they are, what they do, and to how many. Pure.

use coordinator::options::Options;
use coordinator::preflight::{Preflight, RuleEstimate};
use keysweep_model::glob::Pattern;
use keysweep_model::messages::StatedRule;
use keysweep_model::printable::{one_line, shortened};
use keysweep_policy::{Recheck, Rule, RuleKind};
use reporter::view::{Block, Kind, Table};
use reporter::{counted, grouped};
use serde_json::{Value, json};

/// Characters of a text that a table shows.
const CHARS_MAX: usize = 60;

/// The rules of a job, each with what a plan expects of it.
fn rows<'a>(
    plan: &'a Preflight,
    options: &'a Options,
) -> impl Iterator<Item = (usize, &'a StatedRule, &'a RuleEstimate)> {
    let stated = options.rules.policy.iter().flat_map(|policy| &policy.rules);
    stated.zip(&plan.rules).enumerate().map(|(at, (rule, estimate))| (at + 1, rule, estimate))
}

/// The table of the rules; empty if the job has the short form of one.
pub(super) fn blocks(plan: &Preflight, options: &Options) -> Vec<Block<'static>> {
    if plan.rules.is_empty() {
        return Vec::new();
    }
    // A sample may have none of the few keys of a rule.
    let mark = if plan.estimate.exact { "" } else { "~" };
    let figure = |keys: u64| format!("{mark}{}", grouped(keys));
    let row = |(number, rule, estimate): (usize, &StatedRule, &RuleEstimate)| {
        let patterns = patterns(&rule.matching);
        vec![
            format!("{number} {}", shortened(&patterns, CHARS_MAX)),
            rule.owner.clone().unwrap_or_default(),
            figure(estimate.matching_keys),
            figure(estimate.candidates),
            does(rule),
        ]
    };
    let table = Table::new("Rules", "rules")
        .columns(Kind::Code, ["Rule"])
        .columns(Kind::Text, ["Owner"])
        .columns(Kind::Number, ["Its keys", "Candidates"])
        .columns(Kind::Text, ["Does"])
        .rows(rows(plan, options).map(row));
    let notes = not_again(plan, options).chain([String::new()]).map(Block::Text);
    std::iter::once(Block::Table(table)).chain(notes).collect()
}

/// What a rule does, in few words.
fn does(rule: &StatedRule) -> String {
    let Ok(concluded) = Rule::new(rule) else { return String::new() };
    let what = match concluded.kind() {
        RuleKind::Durable => "nothing",
        RuleKind::Delete => "delete",
        RuleKind::Report => "report",
        RuleKind::Lifetime { given: Some(_), max_ttl_ms: Some(_) } => "give a TTL, shorten longer ones",
        RuleKind::Lifetime { given: Some(_), .. } => "give a TTL",
        RuleKind::Lifetime { .. } => "shorten longer TTLs",
    };
    let condition = rule.condition.as_deref().map(|text| format!(" if {}", one_line(text)));
    shortened(&format!("{what}{}", condition.unwrap_or_default()), CHARS_MAX).into_owned()
}

/// Terms of conditions that are not checked again in the step that changes a key.
fn not_again(plan: &Preflight, options: &Options) -> impl Iterator<Item = String> {
    let terms = rows(plan, options).flat_map(|(_, rule, _)| fixed(rule)).count() as u64;
    (terms > 0).then(|| {
        let terms = counted(terms, "condition on names is", "conditions on names are");
        format!(
            "{terms} not checked again in the step that changes a key, because the name of a key cannot change; all other \
             conditions are"
        )
    })
    .into_iter()
}

/// The terms of a rule's condition that are not checked again.
fn fixed(rule: &StatedRule) -> Vec<String> {
    let Ok(concluded) = Rule::new(rule) else { return Vec::new() };
    let terms = concluded.condition().map(|condition| condition.terms()).unwrap_or_default();
    let fixed = terms.into_iter().filter(|term| term.recheck == Recheck::Fixed);
    fixed.map(|term| term.term.to_string()).collect()
}

/// The rules as JSON.
pub(super) fn json(plan: &Preflight, options: &Options) -> Vec<Value> {
    let row = |(number, rule, estimate): (usize, &StatedRule, &RuleEstimate)| {
        json!({
            "index": number,
            "match": rule.matching.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "owner": rule.owner,
            "does": does(rule),
            "where": rule.condition,
            "notCheckedAgain": fixed(rule),
            "matchingKeys": estimate.matching_keys,
            "candidates": estimate.candidates,
            "changes": estimate.changes,
            "deletions": estimate.deletions,
        })
    };
    rows(plan, options).map(row).collect()
}

pub(super) fn patterns(list: &[Pattern]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a run would do, as a sentence.
pub(super) fn verdict(plan: &Preflight, options: &Options) -> String {
    let estimate = &plan.estimate;
    let sum = |of: fn(&RuleEstimate) -> u64| plan.rules.iter().map(of).sum::<u64>();
    let (candidates, changes) = (sum(|rule| rule.candidates), sum(|rule| rule.changes));
    let deletions = sum(|rule| rule.deletions);
    let mut parts = Vec::new();
    if options.rules.deletes() {
        let (percent, limit) = (estimate.percent_of(deletions), options.max_delete_percent);
        let is_within =
            |(at, rule): (usize, &RuleEstimate)| rule.percent() <= f64::from(options.rule_limit(at));
        let within = percent <= f64::from(limit) && plan.rules.iter().enumerate().all(is_within);
        let verb = if within { "within" } else { "REFUSED by" };
        let keys = counted(deletions, "key", "keys");
        parts.push(format!("{keys} would be deleted ({percent:.1}%), {verb} the limits"));
    }
    let lifetimes = changes.saturating_sub(deletions);
    if lifetimes > 0 {
        parts.push(format!("the TTL of {} would be set", counted(lifetimes, "key", "keys")));
    }
    let reported = candidates.saturating_sub(changes);
    if reported > 0 {
        parts.push(format!("{} would be reported", counted(reported, "key", "keys")));
    }
    if parts.is_empty() { "Nothing would be changed".to_owned() } else { parts.join("; ") }
}
