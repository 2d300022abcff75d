//! The remaining TTLs of the keys.

use keysweep_model::metrics::{TtlBucket, TtlDistribution};
use keysweep_model::result::CleanupResult;

use super::Section;
use super::blocks::{Block, Chart, Figure, Kind, Table};
use super::known::{NOTHING_READ, partly_read, read_suffix};
use crate::format::{counted, grouped, percent, share_text, span};

pub(super) fn section(result: &CleanupResult) -> Section<'_> {
    let ttl = &result.metrics.ttl;
    let none = ttl.keys == 0 && result.current_metrics.avg_ttl.is_none();
    let sentence = match partly_read(result) {
        None if none => "No matching key has a TTL.".to_owned(),
        Some(why) if none && why == NOTHING_READ => format!("Unknown: {why}."),
        Some(_) if none => "No matching key that was read has a TTL.".to_owned(),
        _ if ttl.keys == 0 => "The distribution of the TTLs is unknown.".to_owned(),
        _ => {
            let keys = counted(ttl.keys, "matching key", "matching keys");
            format!("For {keys} with a TTL{}.", read_suffix(result))
        }
    };
    let mut details = vec![Block::Text(sentence)];
    if !none {
        details.push(Block::Figures(figures(result)));
        if ttl.histogram.iter().any(|bucket| bucket.keys > 0) {
            details.extend([Block::Chart(Chart::Ttl(&ttl.histogram)), Block::Table(bars(ttl))]);
        }
    }
    Section { id: "ttl", title: "Remaining TTLs", summary: Vec::new(), details }
}

fn figures(result: &CleanupResult) -> Vec<Figure> {
    let ttl = &result.metrics.ttl;
    let spans = [
        ("Mean", result.current_metrics.avg_ttl),
        ("Median (p50)", ttl.p50),
        ("90th percentile (p90)", ttl.p90),
        ("99th percentile (p99)", ttl.p99),
    ];
    let spans = spans.into_iter().filter_map(|(name, value)| Some((name, span(value?))));
    let late = ttl.read_late_percent.map(|late| ("Used in the last fifth of their TTL", percent(Some(late))));
    Figure::numbers(spans.chain(late))
}

fn bars(ttl: &TtlDistribution) -> Table {
    let row =
        |bucket: &TtlBucket| vec![range(bucket), grouped(bucket.keys), share_text(bucket.keys, ttl.keys)];
    Table::new("Keys by remaining TTL", "bars")
        .columns(Kind::Text, ["Remaining TTL"])
        .columns(Kind::Number, ["Keys", "Share"])
        .rows(ttl.histogram.iter().map(row))
        .collapsed("The bars as a table")
}

/// The range of a bucket as text.
pub(crate) fn range(bucket: &TtlBucket) -> String {
    match bucket.up_to {
        Some(up_to) if bucket.above <= 0.0 => format!("up to {}", span(up_to)),
        Some(up_to) => format!("{} to {}", span(bucket.above), span(up_to)),
        None => format!("over {}", span(bucket.above)),
    }
}
