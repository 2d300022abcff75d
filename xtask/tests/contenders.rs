//! Runs every contender of the bench that is available here on a few thousand keys: the bench checks the remaining
//! keys. Figures are not checked, because tests share the machine.
#![cfg(test)]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// One run of each contender, with binaries of the profile of the tests.
fn bench(args: &[&str]) -> Value {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let mut command = Command::new(xtask);
    command.args(["bench", "--json", "--repeats", "1", "--binaries"]).arg(xtask.parent().unwrap()).args(args);
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

#[test]
fn every_contender_leaves_the_expected_keys() {
    let document = bench(&["--keys", "3000", "--no-latency"]);
    let measured = measured(&document);
    for (name, figures) in &measured {
        for figure in ["keysPerSecond", "serverCpuMicrosPerKey", "clientCpuMicrosPerKey", "peakMemoryMb"] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{name}: {figures}");
        }
    }
    // These need nothing else than this workspace.
    for name in ["floor", "single cursor"] {
        assert!(measured.iter().any(|(measured, _)| *measured == name), "{document}");
    }
}

#[test]
fn the_foreground_client_completes_its_requests() {
    let document = bench(&["--keys", "1000", "--only", "floor,single-cursor"]);
    // Three seconds at 2,000 requests a second; a busy machine may fall behind.
    let idle = document["idle"]["requests"].as_u64().unwrap();
    assert!((500..10_000).contains(&idle), "{document}");
    for (name, figures) in measured(&document) {
        let foreground = &figures["foreground"];
        assert!(foreground["p99Ms"].as_f64().unwrap() >= foreground["p50Ms"].as_f64().unwrap(), "{name}");
    }
}
