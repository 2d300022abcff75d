//! The hit rate in several windows and over time.

use keysweep_model::metrics::{HitPoint, HitRateWindow, HitRates};

use super::chart::{self, Size};
use super::table::{Kind, Table};
use crate::format::{NONE, moment, percent};
use crate::grouped;

/// The most samples in a table: a month of hourly samples.
const SAMPLES_MAX: usize = 744;

/// The hit rate section.
pub(super) struct HitRateView {
    /// The source of the figures.
    pub(super) source: String,
    /// Why there are no figures.
    pub(super) problem: Option<String>,
    /// The windows; `None` if nothing was measured.
    pub(super) windows: Option<Table>,
    /// The chart, once per size.
    pub(super) charts: Vec<String>,
    /// Shown instead of a chart.
    pub(super) no_chart: &'static str,
    /// The figures of the chart.
    pub(super) samples: Option<Table>,
}

impl HitRateView {
    pub(super) fn of(rates: &HitRates) -> Self {
        let draw = |size: Size| {
            let id = if size == Size::Wide { "hits-wide" } else { "hits-narrow" };
            chart::hit_rates(id, &rates.history, size)
        };
        let charts: Vec<String> = Size::ALL.into_iter().filter_map(draw).collect();
        let idle = rates.history.iter().all(|point| point.lookups == Some(0));
        let no_chart = match rates.history.len() {
            0 => "There are no samples yet; `keysweep serve` takes them between runs.",
            _ if idle => "There was no traffic in any of the samples.",
            _ => "The hit rate between samples is unknown.",
        };
        Self {
            source: source(rates),
            problem: rates.problem.clone().or_else(|| rates.current().unknown_reason.clone()),
            windows: windows(rates),
            samples: (!charts.is_empty()).then(|| samples(&rates.history)),
            charts,
            no_chart,
        }
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
    (!rows.is_empty()).then(|| Table {
        caption: "Hit rate by window",
        columns: vec![
            ("Window", Kind::Text),
            ("Hit rate", Kind::Number),
            ("Lookups", Kind::Number),
            ("Hits", Kind::Number),
            ("Misses", Kind::Number),
            ("Errors", Kind::Number),
            ("Counter resets", Kind::Number),
            ("Since", Kind::Time),
        ],
        rows,
        many: "windows",
        folding: true,
    })
}

fn row(name: &str, window: &HitRateWindow) -> Vec<String> {
    let known = |n: Option<u64>| n.map_or("unknown".to_owned(), grouped);
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
        (None, Some(0), _) => "no traffic".to_owned(),
        (None, _, Some((min, max))) => format!("between {min:.1}% and {max:.1}%"),
        (None, _, None) => "unknown".to_owned(),
    }
}

fn time(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { moment(text) }
}

fn samples(history: &[HitPoint]) -> Table {
    let row = |point: &HitPoint| {
        let lookups = point.lookups.map_or("unknown".to_owned(), grouped);
        vec![time(&point.at), rate(point.hit_rate, point.lookups, None), lookups]
    };
    Table {
        caption: "Hit rate over time, the newest first",
        columns: vec![("Until", Kind::Time), ("Hit rate", Kind::Number), ("Lookups", Kind::Number)],
        rows: history.iter().rev().take(SAMPLES_MAX).map(row).collect(),
        many: "samples",
        folding: false,
    }
}
