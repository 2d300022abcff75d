//! The status of a run, and what it did, in two sentences.

use keysweep_model::messages::EFFECTS;
use keysweep_model::result::{CleanupResult, Status};

use super::blocks::Tone;
use super::known;
use crate::format::{counted, duration, first_upper};

/// The status of a run.
pub(crate) struct StatusView {
    pub(crate) tone: Tone,
    /// The status word: `completed`.
    pub(crate) word: &'static str,
    /// The duration, after the word: `in 7.6 s`.
    pub(crate) took: String,
    /// What the run did, and how many alerts and issues there are.
    pub(crate) sentence: String,
    pub(crate) dry_run: bool,
}

impl StatusView {
    pub(super) fn of(result: &CleanupResult) -> Self {
        let (tone, when) = match result.status {
            Status::Completed => (Tone::Good, "in"),
            Status::Partial => (Tone::Warning, "after"),
            Status::Failed => (Tone::Bad, "after"),
            Status::Cancelled => (Tone::Neutral, "after"),
        };
        let what = done(result);
        let sentence = match result.status {
            Status::Completed => format!("Everything was read, and {what}"),
            Status::Partial => {
                format!("{} (see the issues). In the part that was processed, {what}", gaps(result))
            }
            Status::Failed => format!("The run failed (see the issues). Before that, {what}"),
            Status::Cancelled => format!("The run was cancelled. Before that, {what}"),
        };
        Self {
            tone,
            word: result.status.into(),
            took: format!("{when} {}", duration(result.duration_ms)),
            sentence: sentence + &noticed(result),
            dry_run: result.dry_run,
        }
    }
}

/// What a partial run is missing.
fn gaps(result: &CleanupResult) -> String {
    let accounts = &result.accounting;
    let undone = [accounts.unreached, accounts.unconfirmed, accounts.failed].iter().any(|keys| *keys > 0);
    let gaps = [
        (!result.coverage.complete).then_some("not everything was read"),
        undone.then_some("not every candidate was processed"),
    ];
    let gaps: Vec<&str> = gaps.into_iter().flatten().collect();
    if gaps.is_empty() { "Something is missing".to_owned() } else { first_upper(&gaps.join(", and ")) }
}

/// The number of alerts and issues, as a sentence.
fn noticed(result: &CleanupResult) -> String {
    let number = |n: usize, one, many| (n > 0).then(|| counted(n as u64, one, many));
    let alerts = number(result.alerts.len(), "alert is firing", "alerts are firing");
    let issues = number(result.issues.len(), "issue was found", "issues were found");
    let noticed: Vec<String> = [alerts, issues].into_iter().flatten().collect();
    if noticed.is_empty() { String::new() } else { format!(" {}.", noticed.join(", and ")) }
}

/// What the run did, as the end of a sentence.
fn done(result: &CleanupResult) -> String {
    let accounts = &result.accounting;
    let changed: Vec<String> = EFFECTS
        .into_iter()
        .filter_map(|row| Some((row, *accounts.clone().count_of(row.effect?.outcome))))
        .filter(|(_, keys)| *keys > 0)
        .map(|(row, keys)| format!("{} {}", counted(keys, "key was", "keys were"), row.done))
        .collect();
    if !changed.is_empty() {
        return format!("{}.", changed.join(" and "));
    }
    if accounts.reported > 0 {
        return format!("{} found and only reported.", counted(accounts.reported, "key was", "keys were"));
    }
    match (accounts.candidates, result.stale_ttl_keys) {
        (0, 0) if known::nothing_read(result) => format!("{}.", known::NOTHING_READ),
        (0, 0) => "no key without TTL was found.".to_owned(),
        (candidates, _) => format!("none of {} was changed.", counted(candidates, "candidate", "candidates")),
    }
}
