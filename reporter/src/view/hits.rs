//! The hit rate: its figure, in several windows, and over time.

use keysweep_model::metrics::{HitPoint, HitRateWindow, HitRates};
use keysweep_model::result::CleanupResult;

use super::Section;
use super::blocks::{Block, Chart, Figure, Kind, Table};
use super::known::{UNKNOWN, known};
use crate::format::{NONE, counted, grouped, moment, percent};

/// The most samples in a table: a month of hourly samples.
const SAMPLES_MAX: usize = 744;

/// Shown in place of a rate without lookups.
const NO_TRAFFIC: &str = "no traffic";

/// The hit rate as a key figure.
pub(super) fn figure(result: &CleanupResult) -> Figure {
    let rates = &result.metrics.hit_rates;
    let when = if rates.since_last_run.is_some() { "since the previous run" } else { "during the run" };
    let window = rates.current();
    let bounds = window.hit_rate_min.zip(window.hit_rate_max);
    let (value, note) = match (result.current_metrics.hit_rate, window.lookups) {
        (Some(rate), lookups) => {
            let lookups = lookups.map_or_else(|| "lookups".to_owned(), |n| counted(n, "lookup", "lookups"));
            (percent(Some(rate)), format!("of {lookups} by other clients {when}"))
        }
        _ if rates.problem.is_some() => (UNKNOWN.to_owned(), "its source could not be read".to_owned()),
        (None, Some(0)) => (NO_TRAFFIC.to_owned(), format!("no lookups by other clients {when}")),
        (None, _) => {
            let note = match (bounds, &window.unknown_reason) {
                (Some(bounds), _) => format!("{} {when}", between(bounds)),
                (None, Some(_)) => "see the hit rate section".to_owned(),
                (None, None) => "not measured".to_owned(),
            };
            (UNKNOWN.to_owned(), note)
        }
    };
    Figure::number("Hit rate", value, note)
}

pub(super) fn section(rates: &HitRates) -> Section<'_> {
    let unknown = rates.problem.as_ref().or(rates.current().unknown_reason.as_ref());
    let mut details = vec![Block::Text(source(rates))];
    let drawn = rates.history.iter().any(|point| point.hit_rate.is_some_and(f64::is_finite));
    let idle = rates.history.iter().all(|point| point.lookups == Some(0));
    details.push(match rates.history.len() {
        _ if drawn => Block::Chart(Chart::HitRate(&rates.history)),
        0 => Block::Text("There are no samples yet; `keysweep serve` takes them between runs.".to_owned()),
        _ if idle => Block::Text("There was no traffic in any of the samples.".to_owned()),
        _ => Block::Text("The hit rate between samples is unknown.".to_owned()),
    });
    details.extend(windows(rates).map(Block::Table));
    details.extend(drawn.then(|| Block::Table(samples(&rates.history))));
    Section {
        id: "hits",
        title: "Hit rate",
        summary: unknown.map(|why| Block::Problem(format!("Unknown: {why}"))).into_iter().collect(),
        details,
    }
}

fn source(rates: &HitRates) -> String {
    match rates.source.as_str() {
        "" => "The hit rate was not measured.".to_owned(),
        "redis" => {
            let also = rates.includes.as_ref().map(|also| format!(" May include {also}."));
            format!(
                "Counted by Redis, over all primaries. Lookups by keysweep and by commands that read no value \
                 (TTL, TYPE, OBJECT, DUMP and others) are subtracted.{}",
                also.unwrap_or_default()
            )
        }
        "hash" => "Counted by the application, in a hash in Redis.".to_owned(),
        "prometheus" => "Counted by the application, queried from Prometheus.".to_owned(),
        other => format!("Source: {other}."),
    }
}

fn windows(rates: &HitRates) -> Option<Table> {
    let named = [
        ("During the run", (!rates.source.is_empty()).then_some(&rates.during_run)),
        ("Since the previous run", rates.since_last_run.as_ref()),
        ("Last 24 hours", rates.last_day.as_ref()),
    ];
    let rows: Vec<Vec<String>> =
        named.into_iter().filter_map(|(name, window)| Some(row(name, window?))).collect();
    let table = Table::new("Hit rate by window", "windows")
        .columns(Kind::Text, ["Window"])
        .columns(Kind::Number, ["Hit rate", "Lookups", "Hits", "Misses", "Errors", "Counter resets"])
        .columns(Kind::Time, ["Since"]);
    (!rows.is_empty()).then(|| table.rows(rows))
}

fn row(name: &str, window: &HitRateWindow) -> Vec<String> {
    vec![
        name.to_owned(),
        rate(window.hit_rate, window.lookups, window.hit_rate_min.zip(window.hit_rate_max)),
        known(window.lookups),
        known(window.hits),
        known(window.misses),
        window.errors.map_or("not counted".to_owned(), grouped),
        window.resets.to_string(),
        time(&window.from),
    ]
}

/// A hit rate as text, as far as it is known.
fn rate(rate: Option<f64>, lookups: Option<u64>, bounds: Option<(f64, f64)>) -> String {
    match (rate, lookups, bounds) {
        (Some(rate), _, _) => percent(Some(rate)),
        (None, Some(0), _) => NO_TRAFFIC.to_owned(),
        (None, _, Some(bounds)) => between(bounds),
        (None, _, None) => UNKNOWN.to_owned(),
    }
}

fn between((min, max): (f64, f64)) -> String {
    format!("between {min:.1}% and {max:.1}%")
}

fn time(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { moment(text) }
}

fn samples(history: &[HitPoint]) -> Table {
    let row = |point: &HitPoint| {
        vec![time(&point.at), rate(point.hit_rate, point.lookups, None), known(point.lookups)]
    };
    Table::new("Hit rate over time, the newest first", "samples")
        .columns(Kind::Time, ["Until"])
        .columns(Kind::Number, ["Hit rate", "Lookups"])
        .rows(history.iter().rev().take(SAMPLES_MAX).map(row))
        .collapsed("The samples as a table")
}
