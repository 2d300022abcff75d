//! `cargo xtask soak`: the tests' checks with large counts. Those with hostile peers and odd servers try 1,000 cases
//! each (`docs/fuzzing.md`); `KEYSWEEP_CHAOS_SEED` sets the first seed and `KEYSWEEP_SOAK_SEEDS` their number.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};
use crate::install;

/// Runs the ignored tests with `soak` in their names, in release mode, with `keys` keys.
pub(crate) fn run(keys: u64) -> Result<ExitCode> {
    install::ensure(&install::FOR_TESTS)?;
    let mut command = cargo(&["test", "--release", "--workspace", "--locked", "--"]);
    // Sequentially, because the tests measure, and each uses the whole machine.
    command.args(["--ignored", "--nocapture", "--test-threads=1", "soak"]);
    Ok(exit_code(status(command.env("KEYSWEEP_SOAK_KEYS", keys.to_string()))?))
}
