//! Worlds with new seeds, and all that ever failed.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use keysweep_sim::coverage::Failure;
use strum::VariantArray;

/// Seeds of worlds that were wrong once.
const REGRESSIONS: &str = include_str!("../regressions.txt");

/// Seconds of worlds in CI.
const BUDGET_S: &str = "120";

fn world(args: &[&str]) -> (bool, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_keysweep-sim")).args(args).output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Each run of the tests has new seeds: a failure prints its own.
#[test]
fn new_worlds_are_right() {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let first = (seconds * 1_000).to_string();
    let (is_right, said) = world(&["--seeds", "1000000", "--seed", &first, "--seconds", BUDGET_S]);
    println!("from seed {first} on: {said}");
    assert!(is_right, "from seed {first} on: {said}");
}

#[test]
fn worlds_that_were_wrong_are_right() {
    for line in REGRESSIONS.lines().filter(|line| !line.starts_with('#')) {
        let (args, why) = line.split_once(" # ").unwrap();
        let args: Vec<&str> = ["--one", "--seed"].into_iter().chain(args.split_whitespace()).collect();
        let (is_right, said) = world(&args);
        assert!(is_right, "{line}: {why}: {said}");
    }
}

#[test]
fn two_processes_live_through_the_same_world() {
    for profile in ["plain", "transactions", "backup", "embedded"] {
        let [(_, first), (_, second)] =
            [(), ()].map(|()| world(&["--replay", "--seed", "3", "--profile", profile]));
        assert!(first.lines().count() > 10, "{first}");
        assert_eq!(first, second);
    }
}

#[test]
fn failures_have_the_names_that_the_architecture_page_gives_them() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    for failure in Failure::VARIANTS {
        let row = format!("| {} |", failure.name());
        assert!(page.lines().any(|line| line.starts_with(&row)), "{row}");
    }
}
