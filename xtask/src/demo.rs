//! `cargo xtask demo`: from a fresh checkout to a finished run. It uses the dev profile, because on a small machine a
//! release build takes longer than it saves.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build_keysweep, exit_code, status};
use crate::install;

/// Installs a missing redis-server, builds keysweep and runs `keysweep demo` with `args` added.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    install::ensure(&[install::REDIS])?;
    let keysweep = build_keysweep()?;
    Ok(exit_code(status(Command::new(keysweep).arg("demo").args(args))?))
}
