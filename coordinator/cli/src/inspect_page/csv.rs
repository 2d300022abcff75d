//! What a look at all keys found, as CSV: one line per namespace, in the fields of the JSON. Pure.

use super::seconds;
use super::view::{Inspected, Row, Selection};

const HEADER: [&str; 15] = [
    "db",
    "template",
    "pattern",
    "keys",
    "keysMax",
    "noTtl",
    "fieldTtl",
    "ttlP50Seconds",
    "ttlMaxSeconds",
    "memoryBytes",
    "memoryBytesLow",
    "memoryBytesHigh",
    "types",
    "idleP50Seconds",
    "known",
];

/// The namespaces as CSV. What was not measured is empty.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn csv(of: &Inspected, selection: Selection) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for row in &of.top_rows(selection) {
        writer.write_record(cells(row))?;
    }
    let bytes = writer.into_inner().map_err(|e| e.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cells(row: &Row<'_>) -> [String; 15] {
    let of = row.namespace;
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let time = |ms: Option<u64>| ms.map_or_else(String::new, |ms| seconds(ms).to_string());
    [
        row.db.to_string(),
        of.template.clone(),
        of.pattern.to_string(),
        of.keys.to_string(),
        of.keys.saturating_add(of.missed_max).to_string(),
        of.no_ttl.to_string(),
        of.field_ttls.to_string(),
        time(of.ttl_median_ms),
        time(of.ttl_max_ms),
        number(of.memory.map(|memory| memory.estimate)),
        number(of.memory.map(|memory| memory.low)),
        number(of.memory.and_then(|memory| memory.high)),
        of.types.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
        number(of.idle_median_s),
        of.known.map_or_else(String::new, |known| known.name.clone()),
    ]
}
