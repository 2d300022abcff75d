//! Runs every contender of the bench that is available here on a few thousand keys: the bench checks the remaining
//! keys. Figures are not checked, because tests share the machine.
#![cfg(test)]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// `turns` of each contender, with binaries of the profile of the tests.
fn bench(turns: &str, args: &[&str]) -> Value {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let mut command = Command::new(xtask);
    command
        .args(["bench", "--json", "--repeats", turns, "--binaries"])
        .arg(xtask.parent().unwrap())
        .args(args);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The bench fails if a contender leaves wrong keys.
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap()
}

/// The figures of each contender by name; contenders that cannot run are reported on stderr.
fn measured(document: &Value) -> Vec<(&str, &Value)> {
    let rows = document["contenders"].as_array().unwrap();
    let measured = rows.iter().filter_map(|row| {
        let name = row["name"].as_str().unwrap();
        if let Some(why) = row["notRun"].as_str() {
            eprintln!("skipped: {name}: {why}");
            return None;
        }
        Some((name, row))
    });
    measured.collect()
}

/// `figures` has the median `figure`, which is positive and within its spread.
fn check_spread(figures: &Value, figure: &str) {
    let (median, spread) = (figures[figure].as_f64().unwrap(), &figures["spread"][figure]);
    let (min, max) = (spread["min"].as_f64().unwrap(), spread["max"].as_f64().unwrap());
    assert!(0.0 < min && min <= median && median <= max, "{figure}: {figures}");
}

#[test]
fn every_contender_leaves_the_expected_keys() {
    let document = bench("1", &["--keys", "3000", "--no-latency"]);
    let measured = measured(&document);
    for (_, figures) in &measured {
        for figure in ["keysPerSecond", "serverCpuMicrosPerKey", "clientCpuMicrosPerKey", "peakMemoryMb"] {
            check_spread(figures, figure);
        }
    }
    // These need nothing else than this workspace.
    for name in ["floor, 1 %", "floor", "floor, 50 %", "floor, looking", "single cursor"] {
        assert!(measured.iter().any(|(measured, _)| *measured == name), "{name}: {document}");
    }
    // keysweep is there only if the whole workspace was built.
    let has_keysweep = measured.iter().any(|(name, _)| *name == "keysweep");
    let targets = document["targets"].as_array().unwrap();
    for target in targets.iter().filter(|target| target["what"].as_str().unwrap().contains('/')) {
        let is_latency = target["what"].as_str().unwrap().contains("p99");
        assert_eq!(target["met"].is_boolean(), has_keysweep && !is_latency, "{target}");
        assert!(target["settled"] != true, "one turn settles nothing: {target}");
    }
}

#[test]
fn the_foreground_client_completes_its_requests_in_each_turn() {
    let document = bench("2", &["--keys", "1000", "--stale", "75", "--only", "floor,single-cursor,keysweep"]);
    // Six seconds at 2,000 requests a second; a busy machine may fall behind.
    let idle = document["idle"]["requests"].as_u64().unwrap();
    assert!((1_000..20_000).contains(&idle), "{document}");
    let measured = measured(&document);
    for name in ["floor, 75 %", "single cursor"] {
        assert!(measured.iter().any(|(measured, _)| *measured == name), "{name}: {document}");
    }
    for (_, figures) in measured {
        check_spread(&figures["foreground"], "p50Ms");
        check_spread(&figures["foreground"], "p99Ms");
        assert_eq!(figures["runs"].as_array().unwrap().len(), 2, "{figures}");
    }
}

#[test]
fn sizes_are_compared_turn_by_turn() {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    if !xtask.with_file_name("keysweep").is_file() {
        eprintln!("skipped: `keysweep` has not been built");
        return;
    }
    // With more arguments it does not change the page; this one is the default.
    let document = bench("2", &["--growth", "1000,2000", "--", "--verify", "ttl"]);
    assert_eq!(document["sizes"].as_array().unwrap().len(), 2, "{document}");
    let targets = document["targets"].as_array().unwrap();
    let grown = targets.iter().find(|target| target["what"] == "growth of memory, %").unwrap();
    assert_eq!(grown["turns"], 2, "{document}");
    assert!(grown["figure"].as_f64().unwrap().abs() < 50.0, "{document}");
}
