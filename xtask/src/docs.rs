//! `cargo xtask docs`: the pages as a book, in `target/book`, and what is generated in `docs/`. Links and citations in
//! the pages are checked by `xtask/tests/pages.rs`, without mdBook.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use coordinator::schemas::documents;
use keysweep_config::update_reference;

use crate::cargo::{exit_code, root, status};
use crate::pinned::PinnedTool;

/// The program that builds the book.
pub(crate) const MDBOOK: PinnedTool =
    PinnedTool { program: "mdbook", package: "mdbook", version: "0.5.4", wheel: None };

/// The folders whose pages and other files are in the book, below the workspace's root.
const FOLDERS: [&str; 6] = ["", "docs", "docs/design", "docs/operations", "docs/schemas", "deploy"];

/// Where the book is built from, below the workspace's root.
const GATHERED: &str = "target/book-pages";

/// Builds the book.
pub(crate) fn run() -> Result<ExitCode> {
    let program = MDBOOK.build(&["--no-default-features", "--features", "search"])?;
    gather(root(), &root().join(GATHERED))?;
    let built = status(Command::new(program).current_dir(root()).args(["build", GATHERED]))?;
    if built.success() {
        eprintln!("xtask: the book is `target/book/index.html`");
    }
    Ok(exit_code(built))
}

/// Copies the pages to `to`, at the same places relative to each other, so that the links between them work in the book.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
fn gather(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    let pages = to.join("src");
    for folder in FOLDERS {
        fs::create_dir_all(pages.join(folder))?;
        for file in fs::read_dir(from.join(folder))? {
            let file = file?.path();
            let wanted = !folder.is_empty() || file.extension().is_some_and(|end| end == "md");
            if let Some(name) = file.file_name().filter(|_| wanted && file.is_file()) {
                fs::copy(&file, pages.join(folder).join(name))?;
            }
        }
    }
    fs::copy(from.join("xtask/book.toml"), to.join("book.toml"))?;
    // The list of pages is one level higher there.
    let list = fs::read_to_string(from.join("docs/SUMMARY.md"))?;
    fs::write(pages.join("SUMMARY.md"), list.replace("](", "](docs/").replace("docs/../", ""))?;
    fs::remove_file(pages.join("docs/SUMMARY.md"))?;
    Ok(())
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

/// Writes the JSON Schemas and the OpenAPI document.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn schemas() -> Result<ExitCode> {
    for (name, text) in documents()? {
        fs::write(root().join("docs").join(name), text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the table of `docs/metrics.md`.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn metrics() -> Result<ExitCode> {
    let path = root().join("docs/metrics.md");
    let page = fs::read_to_string(&path)?;
    let (before, rest) = page.split_once("| name |").context("docs/metrics.md has no table of metrics")?;
    let (_, after) = rest.split_once("\n\n").context("the table of docs/metrics.md has no end")?;
    fs::write(&path, format!("{before}{}\n{after}", keysweep_telemetry::table()))?;
    Ok(ExitCode::SUCCESS)
}
