//! `cargo xtask docs`: the pages in `docs/` as a book, in `target/book`, and the generated part of a page. Links and citations in the pages are checked
//! by `xtask/tests/pages.rs`, without mdBook.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use keysweep_config::update_reference;

use crate::cargo::{exit_code, root, status};
use crate::pinned::PinnedTool;

/// The program that builds the book.
pub(crate) const MDBOOK: PinnedTool =
    PinnedTool { program: "mdbook", package: "mdbook", version: "0.5.4", wheel: None };

/// Builds the book.
pub(crate) fn run() -> Result<ExitCode> {
    let program = MDBOOK.build(&["--no-default-features", "--features", "search"])?;
    let built = status(Command::new(program).current_dir(root()).args(["build", "docs"]))?;
    if built.success() {
        eprintln!("xtask: the book is `target/book/index.html`");
    }
    Ok(exit_code(built))
}

/// Writes the tables of settings in `docs/configuration.md`.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn configuration() -> Result<ExitCode> {
    let path = root().join("docs/configuration.md");
    let page = fs::read_to_string(&path)?;
    let page = update_reference(&page).context("docs/configuration.md has no line where its tables begin")?;
    fs::write(&path, page)?;
    Ok(ExitCode::SUCCESS)
}
