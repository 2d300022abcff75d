//! Programs that the system lacks: installed through apt where we may, otherwise named with the command
//! that installs them. Nothing that was installed here is left running or starts with the machine.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use shared::servers::{find_program, redis_server};

use crate::cargo::status;

/// A program and where Debian and Ubuntu have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The program's name.
    pub(crate) program: &'static str,
    /// The apt package that holds it; the service of the same name, if there is one, stays off.
    pub(crate) package: &'static str,
}

/// The server that the demo, the tests and the bench start.
pub(crate) const REDIS: Tool = Tool { program: "redis-server", package: "redis-server" };

/// Installs package `$1` without starting its service now or at boot. A policy of the system's own is
/// respected, and ours is removed again whatever happens.
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

/// Makes sure that `tools` are there.
///
/// # Errors
/// If one is missing and cannot be installed from here; the text names the command that installs it.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    for tool in tools {
        if !present(tool) {
            install(tool)?;
        }
        if tool.program == REDIS.program {
            // Another binary may be named in the environment; if that is wrong, nothing we install helps.
            redis_server()?;
        }
    }
    Ok(())
}

fn install(tool: &Tool) -> Result<()> {
    let Some(mut shell) = privileged_shell() else { bail!(way_out(tool)) };
    eprintln!("xtask: `{}` is missing; installing `{}` with apt-get", tool.program, tool.package);
    let args = ["-c", APT, "keysweep-install", tool.package];
    let installed = status(shell.args(args).stdin(Stdio::null()))?;
    if !installed.success() || !present(tool) {
        bail!("apt-get did not install `{}` (see above); {}", tool.package, way_out(tool));
    }
    Ok(())
}

fn present(tool: &Tool) -> bool {
    find_program(tool.program).is_some() || (tool.program == REDIS.program && redis_server().is_ok())
}

fn way_out(tool: &Tool) -> String {
    format!(
        "`{}` is missing and this user may not install it: install it as root with `apt-get install {}`, or with the \
         package manager of your system, and run this again",
        tool.program, tool.package
    )
}

/// A shell with root's rights, if apt-get is there and we are root or sudo asks for no password.
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
    fn a_missing_tool_is_named_with_its_package() {
        let text = way_out(&Tool { program: "nats-server", package: "nats-server" });
        assert!(
            text.contains("`nats-server` is missing") && text.contains("apt-get install nats-server"),
            "{text}"
        );
    }

    #[test]
    fn what_is_there_is_not_installed() {
        let shell = Tool { program: "sh", package: "no-such-package" };
        assert!(present(&shell));
        ensure(&[shell]).unwrap();
    }

    #[test]
    fn the_script_is_one_that_sh_understands() {
        let checked = Command::new("sh").args(["-n", "-c", APT]).status().unwrap();
        assert!(checked.success());
    }
}
