//! `--help` is a contract: scripts and habits depend on it. The texts are in `snapshots/`;
//! `UPDATE_SNAPSHOTS=1 cargo test -p keysweep --test commands help` rewrites them.

use std::fs;
use std::path::Path;

use keysweep_cli::args;

/// The commands by their words; the first is `keysweep` itself.
const COMMANDS: [&[&str]; 26] = [
    &[],
    &["run"],
    &["plan"],
    &["restore"],
    &["demo"],
    &["serve"],
    &["scanner"],
    &["reaper"],
    &["reporter"],
    &["stats"],
    &["runs"],
    &["runs", "list"],
    &["runs", "show"],
    &["runs", "attach"],
    &["runs", "cancel"],
    &["runs", "report"],
    &["runs", "audit"],
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
fn help_is_as_recorded() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut changed = Vec::new();
    for words in COMMANDS {
        let name = ["keysweep"].iter().chain(words).copied().collect::<Vec<_>>().join("-");
        let (path, now) = (dir.join(format!("{name}.txt")), help(words));
        if update {
            fs::write(&path, &now).expect("the snapshot can be written");
        } else if fs::read_to_string(&path).ok().as_deref() != Some(now.as_str()) {
            changed.push(format!("{}, which is now:\n{now}", path.display()));
        }
    }
    assert!(changed.is_empty(), "rerun with UPDATE_SNAPSHOTS=1 if meant:\n{}", changed.join("\n"));
}

#[test]
fn help_fits_eighty_columns() {
    for words in COMMANDS {
        for line in help(words).lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
    }
}
