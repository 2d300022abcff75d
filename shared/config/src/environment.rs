//! The only place that reads environment variables. Other code receives an [`Environment`], so tests can pass their
//! own, and every value has an origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::error::ConfigError;
use super::table::SETTINGS;
use super::variables;

/// Names the job file; see [`JobFile::find`](super::JobFile::find).
pub const CONFIG_FILE_VARIABLE: &str = "KEYSWEEP_CONFIG";

/// The home directory and the user's configuration, with the contexts of the nats CLI.
pub(super) const HOME: &str = "HOME";
pub(super) const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// The directory for the state of programs.
pub(super) const XDG_STATE_HOME: &str = "XDG_STATE_HOME";

/// The socket of the service manager (`sd_notify(3)`).
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// How long the service manager lets a process be silent, in microseconds (`sd_watchdog_enabled(3)`).
pub const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// The process that this is about.
pub const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Variables that are read but are not settings. Few runs need them, so one that is not UTF-8 counts as not set.
const OTHER_VARIABLES: [&str; 6] =
    [HOME, XDG_CONFIG_HOME, XDG_STATE_HOME, NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID];

/// The variables that keysweep knows, read at the start of the process. An empty variable counts as not set, because
/// Compose files and unit files pass empty ones.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the known variables of this process.
    ///
    /// # Errors
    /// [`ConfigError::UnknownVariables`] for an unknown variable with the prefix of keysweep, and
    /// [`ConfigError::NotUtf8`] for a known variable that is not UTF-8: with replaced bytes, a pattern of protected
    /// keys could match nothing.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn snapshot() -> Result<Self, ConfigError> {
        let lossy = |text: OsString| text.to_string_lossy().into_owned();
        let all: Vec<(String, String)> = std::env::vars_os().map(|(n, v)| (lossy(n), lossy(v))).collect();
        variables::check(all.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let settings = SETTINGS.iter().flat_map(|spec| [Some(spec.env), spec.other_env]);
        let mut values = BTreeMap::new();
        for name in settings.flatten().chain([CONFIG_FILE_VARIABLE]).chain(OTHER_VARIABLES) {
            match std::env::var(name) {
                Ok(value) => {
                    values.insert(name.to_owned(), value);
                }
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) if OTHER_VARIABLES.contains(&name) => {}
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(ConfigError::NotUtf8 { variable: name });
                }
            }
        }
        Ok(Self { values })
    }

    /// An environment with these pairs.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { values: pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// The trimmed value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Shows only names: values may contain passwords.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_not_set_and_values_stay_hidden() {
        let env = Environment::from_pairs([("A", " "), ("B", " x "), ("REDISCLI_AUTH", "pw")]);
        assert_eq!((env.get("A"), env.get("B"), env.get("C")), (None, Some("x"), None));
        assert_eq!(format!("{env:?}"), r#"{"A", "B", "REDISCLI_AUTH"}"#);
    }

    #[test]
    fn a_snapshot_holds_known_names_only() {
        let env = Environment::snapshot().expect("the test's environment is UTF-8");
        assert_eq!(env.get("PATH"), None);
    }
}
