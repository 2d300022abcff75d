//! The end-to-end suite of each version: the tests whose outcome depends on the server, few enough to take minutes.
//! They are selected from the ordinary tests by name.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::servers::{ServerRole, Version};
use crate::cargo::cargo;

/// A test binary and the name prefixes of its selected tests; all tests if there are none.
struct Part {
    package: &'static str,
    binary: &'static str,
    tests: &'static [&'static str],
}

const fn part(package: &'static str, binary: &'static str, tests: &'static [&'static str]) -> Part {
    Part { package, binary, tests }
}

/// Both delete backends; whole runs in one process on single servers and clusters, with moving slots, failing primaries
/// and replica reads; backups; and the commands with minimal permissions, without scripts, with TLS and with Sentinels.
const REDIS: [Part; 3] = [
    part("keysweep-redis", "live", &["glob::", "guard::"]),
    part(
        "keysweep-coordinator",
        "embedded",
        &[
            "aggressive::exactly",
            "backup::",
            "databases::",
            "exact::a_",
            "failover::",
            "fields::",
            "changed_keys::",
            "guards::a_",
            "lock::",
            "replicas::",
            "reshard::",
            "network::",
            "int64_limits::",
            "random_faults::",
            "unserved_slots::",
            "redelivery::every_delivery",
            "versions::",
            "without_scripts::",
        ],
    ),
    part(
        "keysweep",
        "commands",
        &[
            "backup::",
            "every_right",
            "read_only::",
            "rights::rights_to_fields",
            "sentinel::",
            "the_users_file",
            "tls::",
            "without_scripts::",
        ],
    ),
];

/// Queue and store; whole runs with the roles of several processes; cancellation, faults and takeover.
const NATS: [Part; 2] = [
    part("keysweep-nats", "live", &[]),
    part(
        "keysweep-coordinator",
        "over_nats",
        &["aggressive::", "cancel::", "faults::", "takeover::", "redelivery::"],
    ),
];

/// The result of the suite on one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SuiteResult {
    pub(super) passed: u64,
    /// Names of tests that failed.
    pub(super) failed: Vec<String>,
    pub(super) seconds: u64,
}

fn parts(role: ServerRole) -> &'static [Part] {
    match role {
        ServerRole::Redis => &REDIS,
        ServerRole::Nats => &NATS,
    }
}

/// Builds the tests for `roles`.
///
/// # Errors
/// When it does not compile.
pub(super) fn build(roles: &[ServerRole]) -> Result<()> {
    for part in roles.iter().flat_map(|role| parts(*role)) {
        let built = crate::cargo::status(&mut cargo(&[
            "test",
            "--locked",
            "--package",
            part.package,
            "--test",
            part.binary,
            "--no-run",
        ]))?;
        if !built.success() {
            bail!("the tests `{}` of `{}` cannot be built", part.binary, part.package);
        }
    }
    Ok(())
}

/// Runs the suite on `version`, whose program is `program`.
///
/// # Errors
/// When cargo cannot be started.
pub(super) fn run(version: &Version, program: &std::path::Path) -> Result<SuiteResult> {
    let (mut outcome, begin) = (SuiteResult::default(), Instant::now());
    let without = version.without.map_or(&[][..], |(without, _)| without);
    for part in parts(version.role) {
        let mut command =
            cargo(&["test", "--locked", "--package", part.package, "--test", part.binary, "--"]);
        command.args(part.tests).args(["--test-threads", "6"]);
        command.args(without.iter().flat_map(|name| ["--skip", name]));
        command.env(version.variable(), program).stdout(Stdio::piped());
        let mut child = command.spawn().context("failed to start `cargo test`")?;
        let before = outcome.passed + outcome.failed.len() as u64;
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            outcome.take(&line);
            println!("{line}");
        }
        let ended = child.wait()?;
        if !ended.success() && outcome.failed.is_empty() {
            outcome.failed.push(format!("{} ({ended})", part.binary));
        }
        if before == outcome.passed + outcome.failed.len() as u64 {
            bail!("no test of `{}` was run: were they renamed?", part.binary);
        }
    }
    outcome.seconds = begin.elapsed().as_secs();
    Ok(outcome)
}

impl SuiteResult {
    /// Evaluates one line of a test binary's output.
    fn take(&mut self, line: &str) {
        let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            return;
        };
        match outcome {
            "ok" => self.passed += 1,
            "FAILED" => self.failed.push(name.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_by_their_lines() {
        let mut outcome = SuiteResult::default();
        let lines = "running 3 tests\ntest a::one ... ok\ntest a::two ... FAILED\ntest slow ... ignored, a soak test\n\
                     test result: FAILED. 1 passed; 1 failed; 1 ignored";
        lines.lines().for_each(|line| outcome.take(line));
        assert_eq!(outcome, SuiteResult { passed: 1, failed: vec!["a::two".to_owned()], seconds: 0 });
    }
}
