//! Every contender of the bench that can be run here, on a few thousand keys: the bench checks what each leaves. No
//! figure is looked at, since tests share the machine.
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
    // A contender that left something else than it had to fails the bench.
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap()
}

/// Each contender's figures by its name; those that could not be run are named on stderr instead.
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
fn every_contender_leaves_what_it_has_to() {
    let document = bench(&["--keys", "3000", "--no-latency"]);
    let measured = measured(&document);
    for (name, figures) in &measured {
        for figure in ["keysPerSecond", "serverCpuMicrosPerKey", "clientCpuMicrosPerKey", "peakMemoryMb"] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{name}: {figures}");
        }
    }
    // These need nothing that is not built here.
    for name in ["floor", "single cursor"] {
        assert!(measured.iter().any(|(measured, _)| *measured == name), "{document}");
    }
}

#[test]
fn the_foreground_client_sees_every_request_through() {
    let document = bench(&["--keys", "1000", "--only", "floor,single-cursor"]);
    // Three seconds at 2,000 a second; a busy machine may fall behind.
    let idle = document["idle"]["requests"].as_u64().unwrap();
    assert!((500..10_000).contains(&idle), "{document}");
    for (name, figures) in measured(&document) {
        let foreground = &figures["foreground"];
        assert!(foreground["p99Ms"].as_f64().unwrap() >= foreground["p50Ms"].as_f64().unwrap(), "{name}");
    }
}
