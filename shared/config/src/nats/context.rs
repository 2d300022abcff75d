//! A context of the nats CLI: a JSON file in the user's configuration with a named connection. Only the keys of a
//! connection are read; others (colors, inboxes, other tools) are ignored.

use std::path::{Path, PathBuf};

use keysweep_files::read_text;
use serde_json::{Map, Value};

use crate::environment::{Environment, HOME, XDG_CONFIG_HOME};
use crate::error::ConfigError;
use crate::limits::SECRET_FILE_BYTES_MAX;
use crate::origin::{Origin, Setting};

/// The keys that are read.
const KEYS: [&str; 10] =
    ["url", "user", "password", "token", "creds", "nkey", "cert", "key", "ca", "jetstream_domain"];

/// A context that was read. No `Debug`, because it may contain a password.
pub(super) struct NatsContext {
    values: Map<String, Value>,
    home: Option<PathBuf>,
    /// The file.
    pub(super) origin: Origin,
    /// The layer of the setting that names the context.
    pub(super) rank: u8,
}

impl NatsContext {
    /// Reads the file of the context `named`.
    pub(super) fn read(named: &Setting<String>, env: &Environment) -> Result<Self, ConfigError> {
        let failed = |problem| {
            let (origin, name) = (named.origin.clone(), named.value.clone());
            ConfigError::BadContext { origin, name, problem }
        };
        let path = path(&named.value, env)
            .ok_or_else(|| failed(format!("neither `{XDG_CONFIG_HOME}` nor `{HOME}` is set")))?;
        let text = read_text(&path, SECRET_FILE_BYTES_MAX)
            .map_err(|source| failed(format!("cannot read `{}`: {source}", path.display())))?;
        let values = values(&text).map_err(|what| failed(format!("`{}` {what}", path.display())))?;
        let home = env.get(HOME).map(PathBuf::from);
        Ok(Self { values, home, origin: Origin::Context { path }, rank: named.origin.rank() })
    }

    /// A value, unless it is empty: the CLI writes empty texts for absent values.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key)?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// A path, in which `~` is the home directory.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.text(key)?;
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => Some(home.join(rest)),
            _ => Some(PathBuf::from(text)),
        }
    }
}

/// `$XDG_CONFIG_HOME/nats/context/NAME.json`, or the same under `~/.config`.
fn path(name: &str, env: &Environment) -> Option<PathBuf> {
    let config = match env.get(XDG_CONFIG_HOME) {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env.get(HOME)?).join(".config"),
    };
    Some(config.join("nats/context").join(format!("{name}.json")))
}

/// The file's object. The error follows the file's name in a message, and contains no value.
fn values(text: &str) -> Result<Map<String, Value>, String> {
    let values = match serde_json::from_str(text) {
        Ok(Value::Object(values)) => values,
        Ok(_) => return Err("is no JSON object".to_owned()),
        Err(error) => return Err(format!("is no JSON: line {}, column {}", error.line(), error.column())),
    };
    let is_text = |key: &&str| matches!(values.get(*key), None | Some(Value::String(_) | Value::Null));
    match KEYS.iter().find(|key| !is_text(key)) {
        Some(key) => Err(format!("has a `{key}` that is no text")),
        None => Ok(values),
    }
}
