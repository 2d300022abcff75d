//! Configuration: what a run is told to do, and who said so.
//!
//! Flags win over the environment, the environment over the job file, the file over defaults. Each
//! layer gives raw texts under the names of one table, [`SETTINGS`]; [`resolve`] reads them into
//! [`Settings`], whose every value carries its [`Origin`]. Files are read here (the job file, a
//! password file), and [`Environment::snapshot`] is the only reader of the environment. Not here:
//! the command line's own syntax (`coordinator/src/cli/`), and whether a pattern, a schedule or a
//! time zone means anything, which the code that uses them says.

mod address;
mod address_map;
mod deployment;
mod display;
pub mod duration;
mod environment;
mod error;
mod file;
mod layers;
mod login;
mod nats;
mod origin;
mod pace;
mod parse;
mod raw;
mod redact;
mod resolve;
mod schema;
mod secret;
mod sentinel;
mod setting_def;
mod settings;
mod size;
mod suggest;
mod table;
mod tls;
mod url;
mod variables;

#[cfg(test)]
mod tests;

pub use address_map::{AddressMapping, reachable};
pub use deployment::{RedisSettings, deployments};
pub use display::DisplayRow;
pub use environment::{CONFIG_FILE_VARIABLE, Environment};
pub use error::{ConfigError, FilePosition};
pub use file::{DEFAULT_FILE, JobFile, check_file};
pub use layers::{FlagLayer, check};
pub use login::SecretSource;
pub use nats::{NatsSettings, NatsUrl, Storage};
pub use origin::{Origin, Setting};
pub use parse::is_name;
pub use redact::redact;
pub use resolve::{CheckedFile, CheckedJob, Destinations, check_jobs, destinations, resolve, resolve_all};
pub use secret::Secret;
pub use sentinel::SentinelUrl;
pub use setting_def::{DefaultValue, Section, SettingDef, SettingKind};
pub use settings::{ActivitySetting, BackupPlace, ConfiguredAction, Queries, Settings};
pub use table::{OVERRIDES, SETTINGS, by_flag, by_name};
pub use tls::TlsSettings;
pub use url::RedisUrl;
pub use variables::DEVELOPERS_VARIABLES;
