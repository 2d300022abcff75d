//! The demo, which starts its own servers.

use std::path::{Path, PathBuf};

use crate::cli::{keysweep, on_terminal};

/// The number before `word` in the line that holds it.
fn before(text: &str, word: &str) -> u64 {
    let (head, _) = text.split_once(word).unwrap_or_else(|| panic!("no `{word}` in\n{text}"));
    let number = head.trim_end().rsplit(char::is_whitespace).next().unwrap_or_default().replace(',', "");
    number.parse().unwrap_or_else(|_| panic!("no number before `{word}` in\n{text}"))
}

#[test]
fn its_result_is_the_truth() {
    let ended = keysweep(&["demo", "--keys", "5000", "--log-format", "text"]).run();
    let page = &ended
        .exits(0)
        .log_contains(&["throwaway cluster", "Deleting ", "Cleanup complete", "[Demo] Report: "])
        .stdout;
    assert!(page.contains("completed") && page.contains("balanced"), "{ended}");
    let (_, truth) = page.split_once("What was put in:").expect("the truth stands below the result");
    let (stale, protected) = (before(truth, " of them stale"), before(truth, " of those protected"));
    let (_, counted) = truth.split_once("Counted by").expect("and what is there now");
    let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("  Matching keys").contains("4,250"), "{ended}");
    assert_eq!(before(truth, " matching keys"), 4_250, "{ended}");
    assert_eq!(
        line("  Deleted").split_whitespace().nth(1),
        Some((stale - protected).to_string().as_str()),
        "{ended}"
    );
    assert_eq!(before(counted, " keys, "), before(truth, " expected"), "{ended}");
    assert!(page.lines().all(|line| line.trim_end() == line && line.chars().count() <= 80), "{ended}");
}

/// The bar's first line ends on a terminal of 80 columns, and the page follows it.
#[test]
fn it_fits_a_terminal() {
    let ended = on_terminal(&["demo", "--keys", "5000"]).run_open();
    let shown = &ended.exits(0).stdout;
    assert!(!shown.contains("Issues detected"), "{ended}");
    let bars: Vec<&str> =
        shown.split(['\u{1b}', '\r', '\n']).filter(|part| part.contains("keys/s")).collect();
    assert!(!bars.is_empty(), "no bar\n{ended}");
    for bar in bars {
        // It is filled up with blanks to the width of the terminal, line by line.
        let bar = bar.trim_start_matches("[1A").trim_start_matches("[2K").trim_start_matches("[1B");
        let first: String = bar.chars().take(80).collect();
        // The time left follows, once it is known.
        let end = first.trim_end();
        assert!(end.ends_with(" left") || end.ends_with("keys/s"), "{first:?}\n{ended}");
        assert!(bar.chars().count() <= 160, "{bar:?}\n{ended}");
    }
}

#[test]
fn without_redis_server_it_explains_how_to_install_one() {
    let shell = Path::new("/bin/sh");
    assert!(shell.exists(), "only the server is missing");
    let empty = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("empty");
    std::fs::create_dir_all(&empty).expect("a directory");
    let ended = keysweep(&["demo", "--json"]).env("PATH", empty.to_str().expect("UTF-8")).run();
    ended.fails(1, &["`redis-server` is not in PATH", "apt-get install redis-server"]);
}
