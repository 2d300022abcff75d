//! `cargo xtask typos`: spelling of code and documents, with the exceptions in `typos.toml`.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{exit_code, root, status};
use crate::pinned::PinnedTool;

/// The spell checker.
pub(crate) const TYPOS: PinnedTool =
    PinnedTool { program: "typos", package: "typos-cli", version: "1.52.0", wheel: Some(".ci/typos.txt") };

/// Runs the check. Where no built program fits the machine, it says so and succeeds: it is not worth a long build.
pub(crate) fn run() -> Result<ExitCode> {
    match TYPOS.install_wheel() {
        Ok(program) => Ok(exit_code(status(Command::new(program).current_dir(root()))?)),
        Err(e) => {
            eprintln!("xtask: spelling was NOT checked: {e:#}; `cargo install typos-cli` builds the program");
            Ok(ExitCode::SUCCESS)
        }
    }
}
