//! The settings for people: one row each, as `config show` prints them, without secrets.

use serde::Serialize;

use super::origin::Setting;
use super::setting_def::SettingDef;
use super::value::ReadSetting;

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DisplayRow {
    /// The setting's name in the table.
    pub name: &'static str,
    /// Its value, without secrets.
    pub value: String,
    /// The layer that gave it.
    pub origin: String,
}

impl DisplayRow {
    /// The row of a setting; `None` for the file of a secret, which shows as the origin of the secret.
    pub(super) fn new<T: ReadSetting>(row: &SettingDef, setting: &Setting<T>) -> Option<Self> {
        let shown =
            || Self { name: row.name, value: setting.value.shown(), origin: setting.origin.to_string() };
        (!row.is_secret_file).then(shown)
    }
}
