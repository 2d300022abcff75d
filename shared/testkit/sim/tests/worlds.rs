//! Some worlds with fixed seeds, and all that ever failed.

use std::process::Command;

/// Seeds of worlds that were wrong once.
const REGRESSIONS: &str = include_str!("../regressions.txt");

fn world(args: &[&str]) -> (bool, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_keysweep-sim")).args(args).output().unwrap();
    (ended.status.success(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
fn worlds_are_right() {
    let (is_right, said) = world(&["--seeds", "30", "--seed", "1"]);
    assert!(is_right, "{said}");
}

#[test]
fn worlds_that_were_wrong_are_right() {
    let seeds = REGRESSIONS.lines().filter(|line| !line.starts_with('#'));
    for seed in seeds.filter_map(|line| line.split_whitespace().next()) {
        let (is_right, said) = world(&["--one", "--seed", seed]);
        assert!(is_right, "{seed}: {said}");
    }
}

#[test]
fn two_processes_live_through_the_same_world() {
    for seed in ["3", "4"] {
        let [(_, first), (_, second)] = [(), ()].map(|()| world(&["--replay", "--seed", seed]));
        assert!(first.lines().count() > 10, "{first}");
        assert_eq!(first, second);
    }
}
