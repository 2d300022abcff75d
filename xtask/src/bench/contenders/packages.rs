//! Packages of other languages for two contenders. Missing ones are installed below `target/`, where `cargo clean`
//! removes them; if that fails or is not permitted, the error names the command that installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use keysweep_servers::find_program;

use crate::cargo::root;

/// Checks whether a Python has the package, and prints its version.
const IMPORT: &str = "import redis; print(redis.__version__)";

/// Another Python that may have Debian's package, if PATH contains a custom one first.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// A Python with the package `redis`; with `install`, one is created if there is none.
///
/// # Errors
/// If there is none; the text states what to install.
pub(crate) fn python(install: bool) -> Result<PathBuf> {
    let own = root().join("target/bench-python");
    let made = own.join("bin/python3");
    let candidates = [find_program("python3"), Some(SYSTEM_PYTHON.into()), Some(made.clone())];
    if let Some(python) = candidates.into_iter().flatten().find(|python| python_version(python).is_some()) {
        return Ok(python);
    }
    let way_out =
        "Python has no package `redis`: `apt-get install python3-redis`, or `python3 -m pip install redis`";
    let python = find_program("python3").context("`python3` is missing: `apt-get install python3-redis`")?;
    if !install {
        bail!(way_out);
    }
    eprintln!("xtask: installing redis-py below `target/`");
    // Creating a venv requires the interpreter's pip, which Debian has in a separate package.
    quietly(Command::new(python).args(["-m", "venv"]).arg(&own)).context(way_out)?;
    quietly(Command::new(&made).args(["-m", "pip", "install", "--quiet", "redis"])).context(way_out)?;
    Ok(made)
}

/// The version of redis-py in this Python.
pub(crate) fn python_version(python: &Path) -> Option<String> {
    printed(Command::new(python).args(["-c", IMPORT]))
}

/// Node.js, and the module directory with ioredis; with `install`, ioredis is installed if it is missing.
///
/// # Errors
/// If either is missing; the text states what to install.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn node(install: bool) -> Result<(PathBuf, PathBuf)> {
    let node = find_program("node").context("`node` is missing: `apt-get install nodejs npm`")?;
    let own = root().join("target/bench-node");
    let modules = own.join("node_modules");
    if ioredis_version(&modules).is_none() {
        let way_out = "ioredis is missing: `npm install --prefix target/bench-node ioredis`";
        if !install {
            bail!(way_out);
        }
        let npm = find_program("npm").context("`npm` is missing: `apt-get install npm`")?;
        eprintln!("xtask: installing ioredis below `target/`");
        std::fs::create_dir_all(&own).with_context(|| format!("failed to create `{}`", own.display()))?;
        let mut command = Command::new(npm);
        command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&own);
        quietly(command.arg("ioredis").current_dir(&own)).context(way_out)?;
    }
    Ok((node, modules))
}

/// The version of ioredis in these modules.
pub(crate) fn ioredis_version(modules: &Path) -> Option<String> {
    let manifest = std::fs::read(modules.join("ioredis/package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
    manifest["version"].as_str().map(str::to_owned)
}

/// The first line that a program prints, if it succeeds.
pub(crate) fn printed(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("failed to start `{program}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program}` printed: {}", said.trim().lines().last().unwrap_or("nothing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_counts_only_on_success() {
        let sh = |script: &str| printed(Command::new("sh").args(["-c", script]));
        assert_eq!(sh("echo one; echo two").as_deref(), Some("one"));
        assert_eq!(sh("echo one; exit 1"), None);
    }

    #[test]
    fn a_failed_installation_contains_the_reason() {
        let error = quietly(Command::new("sh").args(["-c", "echo first >&2; echo no network >&2; exit 1"]));
        assert_eq!(error.unwrap_err().to_string(), "`sh` printed: no network");
        assert_eq!(ioredis_version(Path::new("/nonexistent")), None);
    }
}
