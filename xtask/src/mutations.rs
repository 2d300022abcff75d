//! `cargo xtask sim --mutations [NAME]...`: whether the simulation finds deliberate bugs. Each one is made in a copy of the
//! source, which has a target folder of its own, so that only the crates with the bug are built again.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, output, root};

/// The bugs.
const LIST: &str = "shared/testkit/sim/mutations.toml";

/// Seconds of worlds in which a bug must be found.
const BUDGET_S: &str = "120";

/// The first seed.
const SEED: &str = "1000000";

/// A deliberate bug: a text of a file, and what it is replaced by.
#[derive(Debug)]
struct Mutation {
    name: String,
    file: String,
    before: String,
    after: String,
}

/// Makes the bugs whose names contain one of `only`, or all, one by one.
#[expect(clippy::print_stdout, reason = "a command for developers")]
pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    let mutations = parse(&fs::read_to_string(root().join(LIST))?)?;
    let folder = root().join("target/mutations");
    let source = folder.join("source");
    let mut missed = 0;
    for mutation in &mutations {
        if !only.is_empty() && !only.iter().any(|part| mutation.name.contains(part.as_str())) {
            continue;
        }
        // Also undoes the bug before.
        copy(&source)?;
        mutation.make(&source)?;
        let begin = Instant::now();
        let sim = build(&source, &folder.join("target")).with_context(|| mutation.name.clone())?;
        let built = begin.elapsed().as_secs();
        let begin = Instant::now();
        let args = ["--seeds", "10000000", "--seed", SEED, "--seconds", BUDGET_S, "--first"];
        let worlds = Command::new(&sim).args(args).output().context("failed to start the simulation")?;
        let said = String::from_utf8_lossy(&worlds.stdout).into_owned();
        let first = said.lines().find_map(|line| line.strip_prefix("WRONG: ")).unwrap_or("-");
        let count = said.lines().last().and_then(|line| line.split(' ').next()).unwrap_or("?").to_owned();
        let found = !worlds.status.success();
        missed += u64::from(!found);
        let verdict = if found { "found " } else { "MISSED" };
        let (name, seconds) = (&mutation.name, begin.elapsed().as_secs_f64());
        println!("{verdict} | {name} | {count} worlds, {seconds:.1} s (built in {built} s) | {first}");
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(text: &str) -> Result<Vec<Mutation>> {
    let table: toml::Table = text.parse()?;
    let all = table.get("mutation").and_then(toml::Value::as_array).context("no `[[mutation]]`")?;
    let one = |of: &toml::Value| {
        let word = |name: &str| {
            let word = of.get(name).and_then(toml::Value::as_str);
            word.map(str::to_owned).with_context(|| format!("a mutation without `{name}`"))
        };
        Ok(Mutation {
            name: word("name")?,
            file: word("file")?,
            before: word("before")?,
            after: word("after")?,
        })
    };
    all.iter().map(one).collect()
}

impl Mutation {
    fn make(&self, source: &Path) -> Result<()> {
        let path = source.join(&self.file);
        write(&path, self.applied(&fs::read_to_string(&path)?)?.as_bytes())
    }

    /// The text of its file with the bug.
    fn applied(&self, text: &str) -> Result<String> {
        let found = text.matches(&self.before).count();
        ensure!(
            found == 1,
            "`{}`: its text is {found} times in `{}`, and must be once",
            self.name,
            self.file
        );
        Ok(text.replacen(&self.before, &self.after, 1))
    }
}

/// Copies the files of the repository that are not the same there: cargo compares times.
fn copy(to: &Path) -> Result<()> {
    let names = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    for name in names.lines() {
        // A file that was removed and not committed is still listed.
        let Ok(bytes) = fs::read(root().join(name)) else { continue };
        let path = to.join(name);
        if fs::read(&path).ok().as_ref() != Some(&bytes) {
            write(&path, &bytes)?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a copy of the source in the target folder")]
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// Builds the simulation in `source`; returns its path.
fn build(source: &Path, target: &Path) -> Result<std::path::PathBuf> {
    let mut command = cargo(&["build", "--locked", "--quiet", "--profile", "sim", "--bin", "keysweep-sim"]);
    let built = command.current_dir(source).env("CARGO_TARGET_DIR", target).output()?;
    if !built.status.success() {
        bail!("it does not build: {}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(target.join("sim/keysweep-sim"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_has_its_place() {
        let mutations = parse(&fs::read_to_string(root().join(LIST)).unwrap()).unwrap();
        assert!(mutations.len() >= 10);
        for mutation in mutations {
            let text = fs::read_to_string(root().join(&mutation.file)).unwrap();
            assert_ne!(mutation.applied(&text).unwrap(), text, "{}", mutation.name);
        }
    }

    #[test]
    fn a_text_that_is_not_there_once_is_an_error() {
        let mutation = Mutation {
            name: "n".to_owned(),
            file: "f".to_owned(),
            before: "a".to_owned(),
            after: "b".to_owned(),
        };
        assert_eq!(mutation.applied("xax").unwrap(), "xbx");
        assert!(mutation.applied("aa").is_err() && mutation.applied("x").is_err());
    }
}
