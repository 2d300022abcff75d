//! The outcomes of the candidates.

use keysweep_model::result::CleanupResult;

use super::Section;
use super::blocks::{Block, Chart, Kind, Table, Tone, Verdict};
use super::known;
use crate::format::{counted, grouped, share_text};

pub(super) fn section(result: &CleanupResult) -> Section<'_> {
    let accounts = &result.accounting;
    let parts: Vec<(&'static str, u64)> = accounts.rows().into_iter().filter(|(_, keys)| *keys > 0).collect();
    let (tone, word) = if accounts.balanced { (Tone::Good, "balanced") } else { (Tone::Bad, "not balanced") };
    let sentence = equation(result, &parts);
    let mut summary = vec![Block::Verdict(Verdict { tone, word, sentence })];
    if !parts.is_empty() {
        let row = |(name, keys): &(&'static str, u64)| {
            let share = share_text(*keys, accounts.candidates);
            vec![(*name).to_owned(), grouped(*keys), share, meaning(name).to_owned()]
        };
        let table = Table::new("Outcomes", "outcomes")
            .columns(Kind::Outcome, ["Outcome"])
            .columns(Kind::Number, ["Keys", "Share"])
            .columns(Kind::Text, ["What it means"])
            .rows(parts.iter().map(row));
        summary.extend([Block::Chart(Chart::Outcomes(parts)), Block::Table(table)]);
    }
    Section { id: "outcomes", title: "Outcomes of the candidates", summary, details: Vec::new() }
}

/// The candidates as the sum of their outcomes.
fn equation(result: &CleanupResult, parts: &[(&'static str, u64)]) -> String {
    let candidates = counted(result.accounting.candidates, "candidate", "candidates");
    let parts: Vec<String> = parts.iter().map(|(name, keys)| format!("{} {name}", grouped(*keys))).collect();
    match known::nothing_read(result) {
        _ if !parts.is_empty() => format!("{candidates} = {}", parts.join(" + ")),
        true => format!("{candidates}: {}", known::NOTHING_READ),
        false => format!("{candidates}: nothing to do"),
    }
}

fn meaning(outcome: &str) -> &'static str {
    match outcome {
        "deleted" => "gone from the cache",
        "expired" => "were given a TTL",
        "clamped" => "were given a shorter TTL",
        "spared" => "no longer qualified at the moment of deletion",
        "fieldTtl" => "hashes whose fields expire",
        "vanished" => "were gone at the moment of deletion",
        "protected" => "kept by a protected pattern",
        "reported" => "only reported",
        "failed" => "could not be processed",
        "unreached" => "not attempted",
        "unconfirmed" => "attempted, but the result is unknown",
        _ => "",
    }
}
