//! The differences of Redis 6.2 in starting servers and clusters.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Options that exist since Redis 7.0 and that older servers do not need: they always allow debug commands.
const NEWER_OPTIONS: [&str; 1] = ["--enable-debug-command"];

/// The distance between the port of the cluster bus and the client port, if it cannot be configured.
const BUS_DISTANCE: u16 = 10_000;

/// The range that [`ports`] searches: both ports are below the ephemeral ports.
const PORTS: std::ops::Range<u16> = 12_000..22_000;

/// How many ports it tries.
const ATTEMPTS: u32 = 100;

/// Whether the server `binary` is older than Redis 7.0; `false` if it does not report its version.
pub(super) fn is_older(binary: &Path) -> bool {
    static KNOWN: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry(binary.to_owned()).or_insert_with(|| {
        let said = Command::new(binary).arg("--version").output();
        said.is_ok_and(|said| is_older_version(&String::from_utf8_lossy(&said.stdout)))
    })
}

/// `version` is the server's version line, such as `Redis server v=6.2.14 sha=…`.
fn is_older_version(version: &str) -> bool {
    let number = version.strip_prefix("Redis server v=").and_then(|rest| rest.split('.').next());
    number.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < 7)
}

/// `args` without the options, and their values, that an older server does not support.
pub(super) fn known_args(args: &[&str]) -> Vec<String> {
    let mut known = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if NEWER_OPTIONS.contains(arg) {
            rest.next();
        } else {
            known.push((*arg).to_owned());
        }
    }
    known
}

/// A port that is free now, together with the matching port of the cluster bus.
pub(super) fn ports() -> Option<[u16; 2]> {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut tries = (0..ATTEMPTS).map(|_| fastrand::u16(PORTS));
    tries.find(|port| free(*port) && free(port + BUS_DISTANCE)).map(|port| [port, port + BUS_DISTANCE])
}

/// The command that assigns the slots of `ranges` (inclusive) to a node, one by one.
pub(super) fn add_slots(ranges: &[(u16, u16)]) -> String {
    let slots = ranges.iter().flat_map(|(first, last)| *first..=*last).map(|slot| slot.to_string());
    format!("CLUSTER ADDSLOTS {}", slots.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_distinguished() {
        let check = |said: &str, expected| assert_eq!(is_older_version(said), expected, "{said}");
        check("Redis server v=6.2.14 sha=40305114:0 malloc=libc bits=64 build=dff95a8e7a99d269", true);
        check(
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=e08dbad3e06f3fb",
            false,
        );
        check(
            "Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=39f7c371e0a96e3d",
            false,
        );
        check("garbage", false);
        assert!(!is_older(Path::new("/nonexistent")));
    }

    #[test]
    fn options_go_with_their_values() {
        assert_eq!(
            known_args(&["--hz", "100", "--enable-debug-command", "yes", "--x", "y"]).join(" "),
            "--hz 100 --x y"
        );
        assert_eq!(add_slots(&[(0, 2), (7, 7)]), "CLUSTER ADDSLOTS 0 1 2 7");
        let [port, bus] = ports().expect("two of them are free");
        assert_eq!(bus, port + BUS_DISTANCE);
    }
}
