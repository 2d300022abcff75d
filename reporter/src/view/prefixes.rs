//! The heaviest prefixes.

use keysweep_model::metrics::{Heaviest, PrefixRow};
use keysweep_model::printable::shortened;
use keysweep_model::result::CleanupResult;

use super::Section;
use super::blocks::{Block, Ranked, Ranking};
use super::known::{is_only_reported, partly_read, read_suffix};
use crate::format::{bounds, bytes, counted, share_text};

/// The most characters shown of a name: a key may have millions.
const NAME_MAX: usize = 120;

/// Formats a weight.
type Unit = fn(u64) -> String;

pub(super) fn section(result: &CleanupResult) -> Section<'_> {
    let prefixes = &result.metrics.prefixes;
    let keys: Unit = |n| counted(n, "key", "keys");
    let freed =
        if is_only_reported(result) { "By memory that would be freed" } else { "By memory that was freed" };
    let whole = if partly_read(result).is_some() { "in the part that was read" } else { "in all" };
    let measures: [(&'static str, &Heaviest, Unit, &str); 4] = [
        ("By keys", &prefixes.by_keys, keys, whole),
        ("By keys without TTL", &prefixes.by_stale, keys, whole),
        ("By memory", &prefixes.by_memory, bytes, whole),
        (freed, &prefixes.by_freed, bytes, "in all"),
    ];
    let measures = measures.into_iter().filter(|(_, heaviest, ..)| !heaviest.rows.is_empty());
    let rankings: Vec<Ranking<'_>> =
        measures.map(|(title, heaviest, unit, whole)| ranking(title, heaviest, unit, whole)).collect();
    let mut details = match rankings.is_empty() {
        true => vec![Block::Text("No prefixes were counted.".to_owned())],
        false => vec![Block::Rankings(rankings)],
    };
    details.extend(memory_basis(result).map(Block::Text));
    Section { id: "prefixes", title: "Largest prefixes", summary: Vec::new(), details }
}

/// How memory figures were obtained, or why there are none.
fn memory_basis(result: &CleanupResult) -> Option<String> {
    let prefixes = &result.metrics.prefixes;
    if let Some(problem) = &prefixes.problem {
        return Some(format!("Memory usage is unknown: {problem}"));
    }
    let keys = (prefixes.sampled_keys > 0).then(|| counted(prefixes.sampled_keys, "key", "keys"))?;
    let sampling = "MEMORY USAGE samples five elements of a large value";
    if prefixes.by_memory.high == Some(prefixes.by_memory.low) {
        return Some(format!("The memory of all {keys}{} was measured. {sampling}.", read_suffix(result)));
    }
    Some(format!(
        "The memory of {keys} was measured; the rest is estimated from them. {sampling}. A prefix has an upper bound \
         only if all of its keys were measured, or if the servers use little more memory."
    ))
}

fn ranking<'a>(title: &'static str, heaviest: &'a Heaviest, unit: Unit, whole: &str) -> Ranking<'a> {
    let weight_text = |weight: u64, low: u64, high: Option<u64>| {
        // Results of earlier versions have no bounds.
        let bounds = if low == 0 && high.is_none() { None } else { bounds(low, high, unit) };
        match bounds {
            None => unit(weight),
            Some(bounds) => format!("{}, {bounds}", unit(weight)),
        }
    };
    let row = |row: &'a PrefixRow| Ranked {
        prefix: shortened(&row.prefix, NAME_MAX),
        sample: row.sample_key.as_deref().map(|key| shortened(key, NAME_MAX)),
        weight: weight_text(row.weight, row.low, row.high),
        share: share_text(row.weight, heaviest.total),
        part_of: (row.weight, heaviest.total),
    };
    Ranking {
        title,
        note: format!("of {} {whole}", weight_text(heaviest.total, heaviest.low, heaviest.high)),
        rows: heaviest.rows.iter().map(row).collect(),
    }
}
