//! Installs missing programs with apt if permitted; otherwise names the command that installs them. Services of
//! installed packages are neither started nor enabled.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use keysweep_servers::{ServersError, find_program, nats_server, redis_server};

use crate::cargo::status;

/// A program and its package in Debian and Ubuntu.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The name of the program.
    pub(crate) program: &'static str,
    /// The apt package; a service of the same name stays disabled.
    pub(crate) package: &'static str,
    /// A lookup that also considers a path from the environment; `None` to search only PATH.
    find: Option<fn() -> Result<PathBuf, ServersError>>,
}

/// The Redis server for the demo, the tests and the bench.
pub(crate) const REDIS: Tool =
    Tool { program: "redis-server", package: "redis-server", find: Some(redis_server) };

/// The queue's server, which the tests start.
pub(crate) const NATS: Tool =
    Tool { program: "nats-server", package: "nats-server", find: Some(nats_server) };

/// Creates the certificates of the tests.
pub(crate) const OPENSSL: Tool = Tool { program: "openssl", package: "openssl", find: None };

/// Reads state files as a user would.
pub(crate) const SQLITE: Tool = Tool { program: "sqlite3", package: "sqlite3", find: None };

/// Checks metrics and alert rules as Prometheus reads them.
const PROMTOOL: Tool = Tool { program: "promtool", package: "prometheus", find: None };

/// Checks the test reports of `policy check` against a schema.
const XMLLINT: Tool = Tool { program: "xmllint", package: "libxml2-utils", find: None };

/// Shows reports in the tests; without it, those tests are skipped with a message. The tours of the page need it.
pub(crate) const CHROMIUM: Tool = Tool { program: "chromium", package: "chromium", find: None };

/// Runs the tours of the page.
pub(crate) const NODE: Tool = Tool { program: "node", package: "nodejs", find: None };

/// Installs what they need.
pub(crate) const NPM: Tool = Tool { program: "npm", package: "npm", find: None };

/// Checks units.
const SYSTEMD: Tool = Tool { program: "systemd-analyze", package: "systemd", find: None };

/// Installs the tools of the deployment checks.
const PIP: Tool = Tool { program: "pip3", package: "python3-pip", find: None };

/// Runs examples. Debian has what makes environments for them in a package of its own, which contains no program.
pub(crate) const PYTHON: Tool = Tool { program: "python3", package: "python3-venv", find: None };

/// Alternative names of suitable browsers.
const BROWSERS: [&str; 2] = ["chromium-browser", "google-chrome"];

/// All programs that the tests need.
pub(crate) const FOR_TESTS: [Tool; 6] = [REDIS, NATS, OPENSSL, SQLITE, PROMTOOL, XMLLINT];

/// Checks the package for Debian.
const LINTIAN: Tool = Tool { program: "lintian", package: "lintian", find: None };

/// Reads the Compose file.
const COMPOSE: Tool = Tool { program: "docker-compose", package: "docker-compose", find: None };

/// All programs that the checks of `deploy/` need besides.
pub(crate) const FOR_DEPLOYMENT: [Tool; 4] = [SYSTEMD, PIP, LINTIAN, COMPOSE];

/// Makes a bare Debian.
pub(crate) const DEBOOTSTRAP: Tool = Tool { program: "debootstrap", package: "debootstrap", find: None };

/// Installs package `$1` without starting its service now or at boot. An existing policy file of the system is kept;
/// the temporary one is always removed.
const APT: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "$1"
if [ -d /run/systemd/system ]; then
  systemctl disable --now --quiet "$1" || true
fi
"#;

/// Makes sure that `tools` are installed.
///
/// # Errors
/// If a tool is missing and cannot be installed; the text names the command that installs it. Also if the environment
/// names an invalid binary, because installing another one would not help.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    for tool in tools {
        if !present(tool)? {
            install(tool)?;
        }
    }
    Ok(())
}

/// Tries to install a browser. Without one, one test is skipped.
pub(crate) fn offer_browser() {
    if BROWSERS.iter().any(|name| find_program(name).is_some()) {
        return;
    }
    if let Err(e) = ensure(&[CHROMIUM]) {
        eprintln!("xtask: reports are not tested in a browser: {e}");
    }
}

fn install(tool: &Tool) -> Result<()> {
    let Some(mut shell) = privileged_shell() else { bail!(way_out(tool)) };
    eprintln!("xtask: `{}` is missing; installing `{}` with apt-get", tool.program, tool.package);
    let args = ["-c", APT, "keysweep-install", tool.package];
    let installed = status(shell.args(args).stdin(Stdio::null()))?;
    if !installed.success() || !present(tool)? {
        bail!("apt-get did not install `{}` (see above); {}", tool.package, way_out(tool));
    }
    Ok(())
}

fn present(tool: &Tool) -> Result<bool> {
    let Some(find) = tool.find else { return Ok(find_program(tool.program).is_some()) };
    match find() {
        Ok(_) => Ok(true),
        Err(ServersError::MissingBinary(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn way_out(tool: &Tool) -> String {
    format!(
        "`{}` is missing and this user may not install it: install it as root with `apt-get install {}`, or with the \
         package manager of your system, and run this again",
        tool.program, tool.package
    )
}

/// A shell with root's rights, if apt-get exists and the user is root or may use sudo without a password.
fn privileged_shell() -> Option<Command> {
    find_program("apt-get")?;
    let quiet = |program: &str, args: &[&str]| {
        Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()
    };
    if quiet("id", &["-u"])?.stdout.trim_ascii() == b"0" {
        return Some(Command::new("sh"));
    }
    find_program("sudo")?;
    quiet("sudo", &["-n", "true"])?.status.success().then(|| {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_reported_with_its_package() {
        let text = way_out(&NATS);
        assert!(
            text.contains("`nats-server` is missing") && text.contains("apt-get install nats-server"),
            "{text}"
        );
    }

    #[test]
    fn installed_tools_are_not_installed_again() {
        let shell = Tool { program: "sh", package: "no-such-package", find: None };
        assert!(present(&shell).unwrap());
        ensure(&[shell]).unwrap();
    }

    #[test]
    fn only_a_missing_program_is_installed() {
        let found_by = |find| present(&Tool { find: Some(find), ..NATS });
        assert!(!found_by(|| Err(ServersError::MissingBinary(String::new()))).unwrap());
        let error = found_by(|| Err(ServersError::WrongBinary("`/etc` is none".to_owned()))).unwrap_err();
        assert_eq!(error.to_string(), "`/etc` is none");
    }

    #[test]
    fn the_script_is_valid_for_sh() {
        let checked = Command::new("sh").args(["-n", "-c", APT]).status().unwrap();
        assert!(checked.success());
    }
}
