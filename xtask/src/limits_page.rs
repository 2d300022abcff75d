//! `cargo xtask docs --limits`: the page `docs/limits.md`, from the `limits.rs` file of each crate.

use std::fmt::Write;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo::root;

/// The page, below the workspace's root.
const PLACE: &str = "docs/limits.md";

const HEAD: &str = "# Limits\n\nEvery limit that is not a setting, by the crate that enforces it. Generated from the \
                    `limits.rs` files by\n`cargo xtask docs --limits`.\n";

/// Crates with limits, as the command's user meets them.
const CRATES: [&str; 22] = [
    "coordinator/cli",
    "coordinator",
    "scanner",
    "reaper",
    "reporter",
    "shared/redis",
    "shared/pacing",
    "shared/runtime",
    "shared/nats",
    "shared/storage",
    "shared/state",
    "shared/http",
    "shared/backup",
    "shared/config",
    "shared/signing",
    "shared/tasks",
    "shared/inspect",
    "shared/policy",
    "shared/rdb",
    "shared/ttl-advice",
    "shared/ttl-experiment",
    "shared/model",
];

/// A limit: its name, its value as it is written, and what its comment says.
#[derive(Debug, PartialEq, Eq)]
struct LimitRow {
    name: String,
    value: String,
    meaning: String,
}

/// Writes the page.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn run() -> Result<ExitCode> {
    fs::write(root().join(PLACE), page()?)?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> Result<String> {
    let mut page = HEAD.to_owned();
    for folder in CRATES {
        let path = root().join(folder).join("src/limits.rs");
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        write!(page, "\n## `{folder}`\n\n| limit | value | meaning |\n|---|---|---|\n")?;
        for row in rows(&text) {
            writeln!(page, "| `{}` | `{}` | {} |", row.name, row.value, row.meaning)?;
        }
    }
    Ok(page)
}

/// The limits of a file formatted by rustfmt.
fn rows(text: &str) -> Vec<LimitRow> {
    let (mut rows, mut meaning, mut lines) = (Vec::new(), Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix("///") {
            meaning.push(comment.trim());
        } else if let Some(limit) = line.strip_prefix("pub const ") {
            let mut limit = limit.to_owned();
            while !limit.ends_with(';') {
                let Some(more) = lines.next() else { break };
                limit = format!("{limit} {}", more.trim());
            }
            if let Some((name, value)) = limit.trim_end_matches(';').split_once(" = ") {
                let name = name.split(':').next().unwrap_or(name).to_owned();
                let meaning = meaning.join(" ").replace("[`", "`").replace("`]", "`").replace('|', "\\|");
                rows.push(LimitRow { name, value: value.to_owned(), meaning });
            }
            meaning.clear();
        } else {
            meaning.clear();
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_its_value_and_its_comment() {
        let text = "//! x\n\n/// How long\n/// at most; see [`B`].\npub const A: Duration =\n    Duration::from_secs(1);\n";
        let row = LimitRow {
            name: "A".to_owned(),
            value: "Duration::from_secs(1)".to_owned(),
            meaning: "How long at most; see `B`.".to_owned(),
        };
        assert_eq!(rows(text), [row]);
    }

    #[test]
    fn the_page_is_up_to_date() {
        let written = fs::read_to_string(root().join(PLACE)).expect("the page");
        assert!(written == page().expect("the files"), "run `cargo xtask docs --limits`");
    }
}
