//! `cargo xtask package`: the binary of the profile `dist` with its manual pages, completions, units and documents, as a
//! tar file and as a package for Debian, in `target/package`. The same commit and compiler give the same bytes.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build, done, output, root};
use crate::deploy_check::tools;

/// Where packages are written, below the workspace's root.
const FOLDER: &str = "target/package";

/// Gathers the files of packages.
const STAGE: &str = include_str!("stage.sh");

/// What the tar file holds besides, below the workspace's root.
const FILES: [&str; 5] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "deploy"];

/// The oldest C library whose symbols the binary uses, in the release that the image is built on.
const LIBC: &str = "2.36";

/// Relocations take a thirtieth of the room: [`LIBC`] is the first that reads them in this form.
const PACKED: &str = "-C link-arg=-Wl,-z,pack-relative-relocs";

/// Who the package is from. There is no address of a person.
const MAINTAINER: &str = "the keysweep authors <keysweep@localhost>";

/// Builds the binary, or takes the one at `binary`, and makes both packages.
pub(crate) fn run(binary: Option<PathBuf>) -> Result<ExitCode> {
    let binary = match binary {
        Some(binary) => binary,
        None => {
            let env = [
                ("BUILD_REVISION", output("git", &["rev-parse", "HEAD"])?),
                ("RUSTFLAGS", PACKED.to_owned()),
            ];
            let [binary] = build(["keysweep"], &["--profile", "dist", "--package", "keysweep"], &env)?;
            binary
        }
    };
    let stage = root().join(FOLDER).join("stage");
    // The time of the commit, in Unix time.
    let time = output("git", &["log", "-1", "--format=%ct"])?;
    let mut gather = Command::new("sh");
    gather.args(["-c", STAGE, "stage"]).arg(&stage).arg(&binary);
    done(with_facts(&mut gather, &time), "gather the files")?;
    deb(&stage, &time)?;
    tar(&stage, &time)?;
    Ok(ExitCode::SUCCESS)
}

/// What the script and the package state.
fn with_facts<'a>(command: &'a mut Command, time: &str) -> &'a mut Command {
    command
        .env("VERSION", env!("CARGO_PKG_VERSION"))
        .env("MAINTAINER", MAINTAINER)
        .env("SOURCE_DATE_EPOCH", time)
}

fn deb(stage: &Path, time: &str) -> Result<()> {
    let tools = tools()?;
    let arch = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut nfpm = Command::new(tools.join("bin/nfpm"));
    nfpm.args(["package", "--packager", "deb", "--config", "deploy/package/nfpm.yaml", "--target", FOLDER]);
    nfpm.env("STAGE", stage).env("ARCH", arch).env("LIBC", LIBC);
    done(with_facts(&mut nfpm, time), "make the package for Debian")
}

/// Makes the tar file that `cargo binstall` looks for: one folder of the same name, with the binary in it.
fn tar(stage: &Path, time: &str) -> Result<()> {
    let name = format!("keysweep-{}-{ARCH}-unknown-linux-gnu", env!("CARGO_PKG_VERSION"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.arg(format!("--mtime=@{time}")).arg(format!("--transform=s,^\\(\\./\\)\\?,{name}/,"));
    tar.args(["--exclude=deploy/tests", "-czf"]).arg(format!("{FOLDER}/{name}.tar.gz"));
    tar.args(FILES).arg("-C").arg(stage).args(["keysweep", "man", "completions"]);
    // The time of packing is not in it.
    done(tar.env("GZIP", "-n"), "make the tar file")?;
    println!("{FOLDER}/{name}.tar.gz");
    Ok(())
}
