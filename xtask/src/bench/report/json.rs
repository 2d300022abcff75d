//! The same figures as one JSON document, not rounded.

use serde_json::{Value, json};

use crate::bench::contenders::Contender;
use crate::bench::figures::{Comparison, Figures, Outcome, RoleFigures, Sample};
use crate::bench::growth::Size;
use crate::bench::latency::Latency;
use crate::bench::machine::Machine;
use crate::bench::targets::Target;

/// A comparison with its targets.
pub(crate) fn comparison(comparison: &Comparison, targets: &[Target]) -> Value {
    let target = |target: &Target| json!({ "what": target.what, "figure": target.figure, "limit": target.limit, "met": target.met() });
    json!({
        "keys": comparison.keys,
        "repeats": comparison.repeats,
        "processors": comparison.machine.processors,
        "versions": comparison.machine.versions,
        "idle": comparison.idle.map(latency),
        "contenders": comparison.rows.iter().map(|(who, how)| row(*who, how)).collect::<Vec<_>>(),
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
    })
}

fn row(contender: Contender, outcome: &Outcome) -> Value {
    let mut row = match outcome {
        Outcome::Measured(measured) => figures(measured),
        Outcome::NotRun(why) => json!({ "notRun": why }),
        Outcome::Failed(why) => json!({ "failed": why }),
    };
    row["name"] = contender.label().into();
    row
}

/// The measurements of `--growth`.
pub(crate) fn growth(sizes: &[Size], machine: &Machine) -> Value {
    let size = |size: &Size| {
        json!({
            "keys": size.keys,
            "keysweep": figures(&size.embedded),
            "overNats": figures(&size.over_nats),
            "floor": figures(&size.floor),
        })
    };
    let sizes: Vec<Value> = sizes.iter().map(size).collect();
    json!({ "processors": machine.processors, "versions": machine.versions, "sizes": sizes })
}

fn figures(figures: &Figures) -> Value {
    let role = |role: &RoleFigures| {
        json!({
            "name": role.name,
            "processes": role.count,
            "cpuMicrosPerKey": role.us,
            "peakMemoryMb": role.peak_mb,
        })
    };
    // Turn by turn: the targets' ratios compare runs of the same turn.
    let run = |run: &Sample| {
        json!({
            "wallSeconds": run.wall_s,
            "serverCpuSeconds": run.server_s,
            "clientCpuSeconds": run.client_s,
            "peakMemoryMb": run.peak_mb,
        })
    };
    json!({
        "keys": figures.keys,
        "wallSeconds": figures.wall_s,
        "keysPerSecond": figures.keys_per_s,
        "serverCpuMicrosPerKey": figures.server_us,
        "clientCpuMicrosPerKey": figures.client_us,
        "peakMemoryMb": figures.peak_mb,
        "foreground": figures.latency.map(latency),
        "roles": figures.roles.iter().map(role).collect::<Vec<_>>(),
        "runs": figures.runs.iter().map(run).collect::<Vec<_>>(),
    })
}

fn latency(latency: Latency) -> Value {
    json!({ "p50Ms": latency.p50_ms, "p99Ms": latency.p99_ms, "requests": latency.requests })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample;
    use crate::bench::targets::targets;

    #[test]
    fn every_contender_and_target_is_in_the_document() {
        let made_up = sample::comparison();
        let document = comparison(&made_up, &targets(&made_up));
        let rows = document["contenders"].as_array().unwrap();
        assert_eq!(rows.len(), made_up.rows.len());
        assert_eq!(rows[0]["keysPerSecond"], 800_000.0);
        assert_eq!(rows[5], json!({ "name": "document's job", "notRun": "`node` is missing" }));
        assert_eq!(document["targets"][0]["met"], true);
        assert_eq!(document["targets"][5]["figure"], Value::Null);
    }
}
