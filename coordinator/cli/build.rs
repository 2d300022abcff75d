//! Passes the version of the compiler to the program, which exposes it as a metric. Cargo also sets the variable for the
//! programs and tests that it runs: with the prefix of settings, they would refuse it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=RUSTC");
    let said = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    // `rustc 1.90.0 (…)`
    println!("cargo:rustc-env=BUILD_RUSTC={}", said.split_whitespace().nth(1).unwrap_or_default());
}
