//! The same figures as one JSON document, not rounded: medians, their spread, and each turn.

use serde_json::{Map, Value, json};

use crate::bench::case::Case;
use crate::bench::data::Data;
use crate::bench::figures::{Comparison, Figures, Measure, Outcome, RoleFigures, Sample};
use crate::bench::growth::Size;
use crate::bench::latency::Latency;
use crate::bench::machine::Machine;
use crate::bench::spread::Spread;
use crate::bench::verdict::Target;

/// The measures of every contender by their names.
const MEASURES: [(&str, Measure); 5] = [
    ("wallSeconds", Measure::WallS),
    ("keysPerSecond", Measure::KeysPerS),
    ("serverCpuMicrosPerKey", Measure::ServerUs),
    ("clientCpuMicrosPerKey", Measure::ClientUs),
    ("peakMemoryMb", Measure::PeakMb),
];

/// A comparison with its targets.
pub(crate) fn comparison(comparison: &Comparison, targets: &[Target]) -> Value {
    json!({
        "keys": comparison.keys(),
        "repeats": comparison.repeats,
        "processors": comparison.machine.processors,
        "versions": comparison.machine.versions,
        "idle": foreground(&comparison.idle),
        "contenders": comparison.rows.iter().map(|(case, outcome)| row(case, outcome)).collect::<Vec<_>>(),
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
    })
}

fn row(case: &Case, outcome: &Outcome) -> Value {
    let mut row = match outcome {
        Outcome::Measured(measured) => figures(measured),
        Outcome::NotRun(why) => json!({ "notRun": why }),
        Outcome::Failed(why) => json!({ "failed": why }),
    };
    row["name"] = case.label().into();
    row["keys"] = case.keys.into();
    row["stalePercent"] = match case.data() {
        Data::Stale { percent } => percent.into(),
        Data::OnePerNode => Value::Null,
    };
    row
}

/// The measurements of `--growth`.
pub(crate) fn growth(sizes: &[Size], targets: &[Target], machine: &Machine) -> Value {
    let size = |size: &Size| {
        json!({
            "keys": size.keys,
            "keysweep": figures(&size.embedded),
            "overNats": figures(&size.over_nats),
            "floor": figures(&size.floor),
        })
    };
    json!({
        "processors": machine.processors,
        "versions": machine.versions,
        "sizes": sizes.iter().map(size).collect::<Vec<_>>(),
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
    })
}

fn target(target: &Target) -> Value {
    let verdict = target.verdict();
    json!({
        "what": target.what,
        "limit": target.limit,
        "figure": verdict.map(|verdict| verdict.measured.median),
        "spread": verdict.map(|verdict| range(verdict.measured)),
        "met": verdict.map(|verdict| verdict.met),
        "settled": verdict.map(|verdict| verdict.settled),
        "turns": verdict.map(|verdict| verdict.turns),
        "turnsMet": verdict.map(|verdict| verdict.turns_met),
    })
}

fn figures(figures: &Figures) -> Value {
    let spreads = MEASURES.map(|(name, measure)| (name, figures.spread(measure)));
    let mut object = with_spread(&spreads);
    let latencies: Vec<Latency> = figures.runs.iter().filter_map(|run| run.latency).collect();
    object.insert("foreground".to_owned(), foreground(&latencies));
    object.insert("roles".to_owned(), figures.roles().iter().map(role).collect());
    // Turn by turn: the targets' ratios compare runs of the same turn.
    object.insert("runs".to_owned(), figures.runs.iter().map(run).collect());
    object.into()
}

fn role(role: &RoleFigures) -> Value {
    let mut object = with_spread(&[("cpuMicrosPerKey", Some(role.us)), ("peakMemoryMb", Some(role.peak_mb))]);
    object.insert("name".to_owned(), role.name.into());
    object.insert("processes".to_owned(), role.count.into());
    object.into()
}

fn run(run: &Sample) -> Value {
    json!({
        "wallSeconds": run.wall_s,
        "serverCpuSeconds": run.server_s,
        "clientCpuSeconds": run.client_s,
        "peakMemoryMb": run.peak_mb,
        "foreground": run.latency.map(|latency| foreground(&[latency])),
    })
}

/// The latencies of all turns, with the number of all their requests; null if there are none.
fn foreground(turns: &[Latency]) -> Value {
    if turns.is_empty() {
        return Value::Null;
    }
    let spread = |of: fn(&Latency) -> f64| Spread::of(turns.iter().map(of));
    let spreads = [("p50Ms", spread(|turn| turn.p50_ms)), ("p99Ms", spread(|turn| turn.p99_ms))];
    let mut object = with_spread(&spreads);
    object.insert("requests".to_owned(), turns.iter().map(|turn| turn.requests).sum::<usize>().into());
    object.into()
}

/// The median of each figure, and beside them the least and the largest values.
fn with_spread(figures: &[(&str, Option<Spread>)]) -> Map<String, Value> {
    let medians = figures.iter().map(|(name, spread)| (*name, json!(spread.map(|spread| spread.median))));
    let ranges: Map<String, Value> =
        figures.iter().map(|(name, spread)| ((*name).to_owned(), json!(spread.map(range)))).collect();
    medians.chain([("spread", ranges.into())]).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn range(spread: Spread) -> Value {
    json!({ "min": spread.min, "max": spread.max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;
    use crate::bench::targets;

    #[test]
    fn every_contender_and_target_is_in_the_document() {
        let made_up = sample::comparison();
        let document = comparison(&made_up, &targets::comparison(&made_up));
        let rows = document["contenders"].as_array().unwrap();
        assert_eq!(rows.len(), made_up.rows.len());
        assert_eq!((&rows[0]["name"], &rows[2]["name"]), (&json!("keysweep, 1 %"), &json!("keysweep")));
        assert_eq!(rows[0]["keysPerSecond"], 800_000.0);
        assert_eq!(rows[6]["spread"]["keysPerSecond"], json!({ "min": 250_000.0, "max": 1_000_000.0 }));
        assert_eq!(rows[6]["foreground"]["requests"], 6_000);
        assert_eq!(rows[4]["roles"][0]["spread"]["peakMemoryMb"], json!({ "min": 17.0, "max": 19.0 }));
        assert_eq!(
            rows[7],
            json!({
                "name": "document's job", "keys": 50_000, "stalePercent": 10, "notRun": "`node` is missing",
            })
        );
        assert_eq!((&rows[9]["foreground"], &rows[9]["stalePercent"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_target_has_its_verdict_or_nulls() {
        let made_up = sample::comparison();
        let document = comparison(&made_up, &targets::comparison(&made_up));
        let targets = document["targets"].as_array().unwrap();
        let expected = json!({
            "what": "1 %: keys/s / floor", "limit": 0.84, "figure": 0.8, "spread": { "min": 0.8, "max": 0.8 },
            "met": false, "settled": false, "turns": 3, "turnsMet": 0,
        });
        assert_eq!(targets[1], expected);
        let unmeasured = targets.iter().find(|target| target["what"] == "healthy: wall s").unwrap();
        assert_eq!((&unmeasured["figure"], &unmeasured["met"]), (&Value::Null, &Value::Null));
    }
}
