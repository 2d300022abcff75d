//! `--help` is a contract: scripts and habits depend on it. The texts are in `snapshots/`.

use keysweep_cli::args;

/// The commands by their words; the first is `keysweep` itself.
const COMMANDS: [&[&str]; 40] = [
    &[],
    &["inspect"],
    &["run"],
    &["plan"],
    &["restore"],
    &["demo"],
    &["serve"],
    &["worker"],
    &["scanner"],
    &["reaper"],
    &["reporter"],
    &["health"],
    &["stats"],
    &["runs"],
    &["runs", "list"],
    &["runs", "show"],
    &["runs", "attach"],
    &["runs", "cancel"],
    &["runs", "report"],
    &["runs", "audit"],
    &["schedule"],
    &["schedule", "explain"],
    &["schedule", "simulate"],
    &["policy"],
    &["policy", "check"],
    &["ttl"],
    &["ttl", "experiment"],
    &["ttl", "experiment", "plan"],
    &["ttl", "experiment", "start"],
    &["ttl", "experiment", "status"],
    &["ttl", "experiment", "stop"],
    &["events"],
    &["nats", "setup"],
    &["nats", "keys"],
    &["config"],
    &["config", "show"],
    &["config", "check"],
    &["config", "init"],
    &["completions"],
    &["man"],
];

/// What `keysweep … --help` prints on a terminal of 80 columns.
fn help(words: &[&str]) -> String {
    let line = ["keysweep"].iter().chain(words).chain(&["--help"]);
    let text = match args::command().term_width(80).try_get_matches_from(line) {
        Err(help) => help.to_string(),
        Ok(_) => format!("{words:?} ignores --help"),
    };
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn help_matches_the_snapshots() {
    for words in COMMANDS {
        let name = ["keysweep"].iter().chain(words).copied().collect::<Vec<_>>().join("-");
        insta::assert_snapshot!(name, help(words));
    }
}

#[test]
fn help_fits_eighty_columns() {
    for words in COMMANDS {
        for line in help(words).lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
    }
}
