//! What a look at all keys found, as JSON. What was not measured is null. Pure.

use serde_json::{Value, json};

use super::advice::{Suggestion, suggestions};
use super::seconds;
use super::view::{Inspected, InspectedDatabase, Row, Selection, Totals};

/// The namespaces as JSON.
#[must_use]
pub fn json(of: &Inspected, selection: Selection) -> Value {
    let Totals { keys, no_ttl, other_keys, other_no_ttl } = of.totals();
    let all = |is: fn(&InspectedDatabase) -> bool| of.databases.iter().all(is);
    let missing: Vec<&str> = of.databases.iter().filter_map(|one| one.coverage.missing.as_deref()).collect();
    let refused = of.databases.iter().find_map(|one| one.namespaces.memory_refused.as_ref());
    let rows = of.rows(selection);
    let shown = rows.iter().take(selection.top.unwrap_or(usize::MAX)).map(row);
    json!({
        "totalKeys": keys,
        "noTtl": no_ttl,
        "complete": all(|one| one.coverage.complete),
        "missing": (!missing.is_empty()).then(|| missing.join(", ")),
        "approximate": !all(|one| !one.namespaces.approximate && one.namespaces.repeated_max == 0),
        "databases": of.databases.iter().map(|one| one.db).collect::<Vec<_>>(),
        "namespaces": shown.collect::<Vec<_>>(),
        "other": { "keys": other_keys, "noTtl": other_no_ttl },
        "memory": { "bytes": of.memory(), "usedMemory": of.used_memory(), "refused": refused },
        "suggestions": suggestions(of).iter().map(suggestion).collect::<Vec<_>>(),
    })
}

fn row(row: &Row<'_>) -> Value {
    let (db, of) = (row.db, row.namespace);
    json!({
        "db": db,
        "template": of.template,
        "pattern": of.pattern.to_string(),
        "keys": of.keys,
        "keysMax": of.keys.saturating_add(of.missed_max),
        "noTtl": of.no_ttl,
        "ttl": { "p50": of.ttl_median_ms.map(seconds), "max": of.ttl_max_ms.map(seconds) },
        "memoryBytes": of.memory,
        "types": (!of.types.is_empty()).then_some(&of.types),
        "idle": of.idle_median_s.map(|p50| json!({ "p50": p50 })),
        "known": of.known.map(|known| &known.name),
        "owner": null,
        "sampleKeys": of.sample_keys,
    })
}

fn suggestion(of: &Suggestion) -> Value {
    json!({ "template": of.template, "finding": of.finding, "command": of.command })
}
