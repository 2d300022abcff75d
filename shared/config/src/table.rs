//! The table of settings. A row is the only place that states a setting: the key in the job file, flag, variables,
//! default, bounds and help. The flags, `config show`, `config init`, the tables of `docs/configuration.md` and all
//! error messages are generated from it, and so are the fields of [`Settings`](super::Settings).
//!
//! A row reads `/// help`, `field: Type => SettingDef::job(…)…;`. The type says how the value is parsed and shown
//! ([`value`](super::value)) and whether it may be absent (`Option`) or repeated (`Vec`). `by` names a function for a
//! value that depends on other settings.

mod job;
mod nats;
mod redis;

pub(super) use self::job::JobSources;
pub use self::job::Settings;
pub use self::nats::NatsSettings;
pub(super) use self::nats::NatsSources;
pub use self::redis::RedisSettings;
pub(super) use self::redis::RedisSources;
use super::setting_def::{Section, SettingDef};

/// Defines a struct with one field for each row, the rows themselves, and how the struct is resolved and shown.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $name:ident from $sources:ident, rows $rows:ident, and { $($(#[doc = $extra_about:literal])+ $extra:ident: $extra_type:ty,)* }
        $($group:ident {
            $($(#[doc = $help:literal])+ $field:ident: $type:ty $(, by $read:path)? => $row:expr;)+
        })+
    ) => {
        pub(super) const $rows: &[SettingDef] =
            &[$($($row.described(Group::$group, concat!($($help),+)),)+)+];

        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $extra_about])+ pub $extra: $extra_type,)*
            $($($(#[doc = $help])+ pub $field: Setting<$type>,)+)+
        }

        impl $name {
            /// Resolves every setting.
            pub(in crate) fn read(sources: &$sources<'_>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($extra: sources.$extra.clone(),)*
                    $($($field: settings!(@read sources, $type, $row $(, $read)?),)+)+
                })
            }

            /// One row for each setting, without files of secrets.
            fn own_rows(&self) -> Vec<DisplayRow> {
                let rows = [$($(DisplayRow::new(&$row, &self.$field),)+)+];
                rows.into_iter().flatten().collect()
            }
        }
    };
    (@read $sources:ident, $type:ty, $row:expr) => {
        <$type as ReadSetting>::read(&$sources.layers, $row.name)?
    };
    (@read $sources:ident, $type:ty, $row:expr, $read:path) => {
        $read($sources)?
    };
}
use settings;

/// Every setting, in the order of `config show`.
pub const SETTINGS: &[SettingDef] = &concat::<{ job::ROWS.len() + redis::ROWS.len() + nats::ROWS.len() }>([
    job::ROWS,
    redis::ROWS,
    nats::ROWS,
]);

const fn concat<const N: usize>(parts: [&[SettingDef]; 3]) -> [SettingDef; N] {
    let mut all = [parts[0][0]; N];
    let (mut part, mut to) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[to] = parts[part][from];
            (from, to) = (from + 1, to + 1);
        }
        part += 1;
    }
    all
}

/// The fields of a request to start a run that may exceed the job's values, as far as its `allow_override` lists them.
#[must_use]
pub fn overrides() -> Vec<&'static str> {
    let fields = SETTINGS.iter().filter_map(|row| row.json);
    fields.filter(|field| field.may_exceed).map(|field| field.name).collect()
}

/// The row of a setting by its name: the key in the job file, or `nats.` and the key.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static SettingDef> {
    SETTINGS.iter().find(|row| row.name == name)
}

/// The row of a setting by its key in a table of the job file.
pub(super) fn by_key(section: Section, key: &str) -> Option<&'static SettingDef> {
    SETTINGS.iter().find(|row| row.section == section && row.key() == key)
}

/// The row of a setting by its flag, dashes included.
#[must_use]
pub fn by_flag(flag: &str) -> Option<&'static SettingDef> {
    SETTINGS.iter().find(|row| row.flag == Some(flag))
}
