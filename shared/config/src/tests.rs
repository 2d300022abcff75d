//! Tests of the configuration through its public functions: precedence, origins, the job file, and messages.
#![expect(clippy::disallowed_methods, reason = "tests write the files that they try out")]

mod file;
mod login;
mod many;
mod messages;
mod nats;
mod nats_identity;
mod precedence;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use keysweep_model::duration;
use keysweep_model::secret::Secret;

use super::*;

/// The path of the job file in tests.
const FILE: &str = "keysweep.toml";

fn file(text: &str) -> JobFile {
    JobFile::parse(Path::new(FILE), text).expect("the test's job file has the right shape")
}

fn flags(pairs: &[(&'static str, &str)]) -> FlagLayer {
    let mut layer = FlagLayer::default();
    for (flag, text) in pairs {
        layer.value(flag, Some(text));
    }
    layer
}

/// `value (origin)` of one row, or the error.
fn shown(
    name: &str,
    given_flags: &[(&'static str, &str)],
    env: &[(&str, &str)],
    text: Option<&str>,
) -> String {
    let env = Environment::from_pairs(env.iter().copied());
    let file = match text.map(|text| JobFile::parse(Path::new(FILE), text)).transpose() {
        Ok(file) => file,
        Err(error) => return error.to_string(),
    };
    match resolve(&flags(given_flags), &env, file.as_ref()) {
        Ok(settings) => {
            let rows = settings.rows();
            let row = rows.iter().find(|row| row.name == name).expect("a row of that name");
            format!("{} ({})", row.value, row.origin)
        }
        Err(error) => error.to_string(),
    }
}

/// A directory of its own with the contexts of a nats CLI, removed when it is dropped.
struct Contexts {
    dir: PathBuf,
}

impl Contexts {
    /// `tag` distinguishes tests of one process.
    fn new(tag: &str, contexts: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("keysweep-{tag}-{}", std::process::id()));
        fs::create_dir_all(dir.join("nats/context")).expect("a temporary directory");
        for (name, json) in contexts {
            fs::write(dir.join(format!("nats/context/{name}.json")), json).expect("a test file");
        }
        Self { dir }
    }

    /// The value of `XDG_CONFIG_HOME` for it.
    fn home(&self) -> String {
        self.dir.display().to_string()
    }

    /// The file of a context.
    fn file(&self, name: &str) -> String {
        self.dir.join(format!("nats/context/{name}.json")).display().to_string()
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
