//! Passes the version of the compiler to the program, which exposes it as a metric.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=RUSTC");
    let said = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    // `rustc 1.90.0 (…)`
    println!("cargo:rustc-env=KEYSWEEP_RUSTC={}", said.split_whitespace().nth(1).unwrap_or_default());
}
