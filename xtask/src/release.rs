//! `cargo xtask release VERSION`: the commit and the tag of a release: the version wherever it stands, and its section
//! of the change log. It publishes nothing; `.github/workflows/release.yml` does when the tag is pushed.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::cargo::{cargo, done, output, root};

/// The release.
#[derive(Args)]
pub(crate) struct ReleaseOptions {
    /// Its version, such as 0.2.0.
    version: String,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The lines that state the version: a file, and how such a line begins.
const PLACES: [(&str, &str); 4] = [
    ("Cargo.toml", "version = \""),
    ("Containerfile", "ARG VERSION="),
    ("deploy/helm/keysweep/Chart.yaml", "version: "),
    ("deploy/helm/keysweep/Chart.yaml", "appVersion: "),
];

/// A line of a file that a release changes.
#[derive(Debug, PartialEq)]
struct Change {
    path: &'static str,
    before: String,
    after: String,
}

/// Makes the commit and the tag, or prints the changes.
pub(crate) fn run(options: &ReleaseOptions) -> Result<ExitCode> {
    let version = options.version.as_str();
    check_version(version)?;
    let date = output("date", &["-u", "+%F"])?;
    let changes = changes(version, &date, |path| Ok(fs::read_to_string(root().join(path))?))?;
    for Change { path, before, after } in &changes {
        println!("{path}:\n- {before}\n+ {after}");
    }
    ensure!(
        output("git", &["tag", "--list", &tag(version)])?.is_empty(),
        "the tag of `{version}` exists already"
    );
    if options.dry_run {
        println!("git tag {}", tag(version));
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        output("git", &["status", "--porcelain"])?.is_empty(),
        "there are changes that are not committed"
    );
    write(&changes)?;
    // The versions of the workspace's crates in `Cargo.lock`.
    done(&mut cargo(&["update", "--workspace", "--offline", "--quiet"]), "update `Cargo.lock`")?;
    let message = format!("[workspace] release {version}");
    let git = |args: &[&str], what: &str| done(Command::new("git").args(args), what);
    git(&["commit", "--quiet", "--all", "--message", &message], "make the commit")?;
    git(&["tag", "--annotate", &tag(version), "--message", &message], "make the tag")?;
    println!("made the commit and the tag: `git push origin main {}` publishes them", tag(version));
    Ok(ExitCode::SUCCESS)
}

fn tag(version: &str) -> String {
    format!("v{version}")
}

fn check_version(version: &str) -> Result<()> {
    let numbers: Vec<&str> = version.split('.').collect();
    let right = numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok());
    ensure!(right, "`{version}` is no version: it has three numbers, such as 0.2.0");
    Ok(())
}

/// What a release of `version` on `date` changes in the files that `read` returns.
fn changes(version: &str, date: &str, read: impl Fn(&str) -> Result<String>) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (path, start) in PLACES {
        let text = read(path)?;
        let before = text.lines().find(|line| line.starts_with(start));
        let before = before.with_context(|| format!("no line of `{path}` begins with `{start}`"))?;
        let end = if start.ends_with('"') { "\"" } else { "" };
        changes.push(Change { path, before: before.to_owned(), after: format!("{start}{version}{end}") });
    }
    changes.extend(pins(&read("Cargo.toml")?, version));
    let path = "CHANGELOG.md";
    let text = read(path)?;
    let heading = text.lines().find(|line| line.starts_with("## "));
    let heading = heading.filter(|line| line.ends_with(" (unreleased)"));
    let before = heading.context("the first section of `CHANGELOG.md` is not `(unreleased)`")?.to_owned();
    changes.push(Change { path, before, after: format!("## {version} ({date})") });
    Ok(changes)
}

/// The lines of the workspace's crates. They depend on exactly this version of each other: their interfaces are not
/// stable.
fn pins(manifest: &str, version: &str) -> Vec<Change> {
    let pins = manifest.lines().filter_map(|line| {
        let (crate_path, _) = line.split_once(", version = \"=")?;
        let after = format!("{crate_path}, version = \"={version}\" }}");
        Some(Change { path: "Cargo.toml", before: line.to_owned(), after })
    });
    pins.collect()
}

#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
fn write(changes: &[Change]) -> Result<()> {
    for Change { path, before, after } in changes {
        let text = fs::read_to_string(root().join(path))?;
        fs::write(root().join(path), text.replacen(before, after, 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Result<String> {
        Ok(fs::read_to_string(root().join(path))?)
    }

    #[test]
    fn a_release_changes_each_place_of_the_version() {
        let found = changes("7.8.9", "2030-01-02", file).unwrap();
        let (pins, others): (Vec<_>, Vec<_>) =
            found.iter().partition(|change| change.after.contains("path = "));
        let pinned =
            pins.iter().filter(|pin| pin.before.contains(&format!("\"={}\"", env!("CARGO_PKG_VERSION"))));
        assert_eq!(pinned.count(), file("Cargo.toml").unwrap().matches(", version = \"=").count());
        let model = "keysweep-model = { path = \"shared/model\", version = \"=7.8.9\" }";
        assert!(pins.iter().any(|pin| pin.after == model), "{pins:?}");
        let after: Vec<&str> = others.iter().map(|change| change.after.as_str()).collect();
        let expected = [
            "version = \"7.8.9\"",
            "ARG VERSION=7.8.9",
            "version: 7.8.9",
            "appVersion: 7.8.9",
            "## 7.8.9 (2030-01-02)",
        ];
        assert_eq!(after, expected);
        let current = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
        assert_eq!(found[0].before, current, "the version of the workspace is the first in its file");
    }

    #[test]
    fn a_change_log_without_an_unreleased_section_is_not_released() {
        let read = |path: &str| {
            if path == "CHANGELOG.md" {
                Ok("# Changelog\n## 0.1.0 (2026-01-01)\n".to_owned())
            } else {
                file(path)
            }
        };
        let error = changes("0.2.0", "2030-01-02", read).unwrap_err();
        assert!(error.to_string().contains("(unreleased)"), "{error}");
    }

    #[test]
    fn a_version_has_three_numbers() {
        assert!(check_version("0.2.0").is_ok());
        for wrong in ["v0.2.0", "0.2", "0.2.0-rc1", ""] {
            assert!(check_version(wrong).is_err(), "{wrong}");
        }
    }
}
