//! What a look at all keys found, as JSON. What was not measured is null. Pure.

use keysweep_inspect::LargeKey;
use serde_json::{Value, json};

use super::advice::{Suggestion, suggestions};
use super::seconds;
use super::view::{Inspected, InspectedDatabase, Row, Selection, Totals};
use crate::rdb_page;

/// The namespaces as JSON.
#[must_use]
pub fn json(of: &Inspected, selection: Selection) -> Value {
    let Totals { keys, no_ttl, other_keys, other_no_ttl } = of.totals();
    let all = |is: fn(&InspectedDatabase) -> bool| of.databases.iter().all(is);
    let refused = of.databases.iter().find_map(|one| one.namespaces.memory_refused.as_ref());
    let memory = of.memory();
    json!({
        "source": rdb_page::json(&of.files),
        "totalKeys": keys,
        "noTtl": no_ttl,
        "complete": of.is_complete(),
        "missing": of.missing(),
        "approximate": !all(|one| !one.namespaces.approximate && one.namespaces.repeated_max == 0),
        "databases": of.databases.iter().map(|one| one.db).collect::<Vec<_>>(),
        "unread": of.unread,
        "namespaces": of.top_rows(selection).iter().map(row).collect::<Vec<_>>(),
        "other": { "keys": other_keys, "noTtl": other_no_ttl },
        "largest": {
            "ofAllKeys": memory.is_some_and(|memory| memory.is_exact()),
            "keys": of.largest().into_iter().map(large).collect::<Vec<_>>(),
        },
        "memory": { "bytes": memory, "usedMemory": of.used_memory(), "refused": refused },
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
        "fieldTtl": of.field_ttls,
        "ttl": { "p50": of.ttl_median_ms.map(seconds), "max": of.ttl_max_ms.map(seconds) },
        "memoryBytes": of.memory,
        "types": (!of.types.is_empty()).then_some(&of.types),
        "idle": of.idle_median_s.map(|p50| json!({ "p50": p50 })),
        "known": of.known.map(|known| &known.name),
        "owner": null,
        "sampleKeys": of.sample_keys,
    })
}

fn large((db, of): (u32, &LargeKey)) -> Value {
    json!({ "db": db, "key": of.name, "bytes": of.bytes, "type": of.kind, "template": of.template })
}

fn suggestion(of: &Suggestion) -> Value {
    json!({ "template": of.template, "finding": of.finding, "command": of.command })
}
