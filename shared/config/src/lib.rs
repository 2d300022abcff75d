//! Configuration: the settings of runs and services, with the origin of each value.
//!
//! Flags win over the environment, the environment over the job file, and the file over defaults. Each layer gives raw
//! texts under the names of one table, [`SETTINGS`]; [`resolve`] parses them into [`Settings`], where every value has
//! its [`Origin`]. The job file and files of passwords are read here, and [`Environment::snapshot`] is the only reader
//! of environment variables. Not here: the syntax of the command line (`coordinator/cli/src/args.rs`), and the checks
//! of patterns, schedules and time zones, which are in the code that uses them.

mod deployment;
mod display;
mod environment;
mod error;
mod file;
mod group;
mod layers;
pub mod limits;
mod login;
mod nats;
mod origin;
mod pace;
mod parse;
mod raw;
mod reference;
mod resolve;
mod rules;
mod schema;
mod setting_def;
mod setting_kind;
mod suggest;
mod table;
mod template;
mod tls;
mod url;
mod value;
mod values;
mod variables;

#[cfg(test)]
mod tests;

pub use deployment::deployments;
pub use display::DisplayRow;
pub use environment::{CONFIG_FILE_VARIABLE, Environment, NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC};
pub use error::{ConfigError, FilePosition};
pub use file::{DEFAULT_FILE, JobFile, check_file};
pub use group::{Group, Scope};
pub use layers::{FlagLayer, Given, check, given};
pub use login::SecretSource;
pub use nats::{NatsUrl, Storage};
pub use origin::{Origin, Setting};
pub use parse::is_name;
pub use reference::update_reference;
pub use resolve::{
    CheckedFile, CheckedJob, Destinations, admin_addr, check_jobs, destinations, resolve, resolve_all,
};
pub use setting_def::{DefaultValue, JsonField, Section, SettingDef};
pub use setting_kind::SettingKind;
pub use table::{NatsSettings, RedisSettings, SETTINGS, Settings, by_flag, by_name, overrides};
pub use template::job_file;
pub use url::RedisUrl;
pub use values::{ActivitySetting, BackupPlace};
pub use variables::DEVELOPERS_VARIABLES;
