//! The configuration from outside: precedence, origins, the job file, and what the messages say.

mod file;
mod login;
mod messages;
mod precedence;

use super::*;
use std::path::Path;

/// What the tests call the job file.
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
