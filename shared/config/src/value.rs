//! How a setting's type is parsed and shown: the type of a row settles both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use keysweep_model::address_map::AddressMapping;
use keysweep_model::duration;
use keysweep_model::ids::Alias;
use keysweep_model::messages::Verify;
use keysweep_model::secret::{MASK, Secret};
use keysweep_signing::PublicKey;

use super::error::ConfigError;
use super::layers::Layers;
use super::login::{self, SecretSource};
use super::nats::{NatsUrl, Storage};
use super::origin::Setting;
use super::parse::{self, Parsed};
use super::setting_kind::SettingKind;
use super::url::RedisUrl;
use super::values::{ActivitySetting, BackupPlace};

/// One value of a setting.
pub(super) trait SettingValue: Sized {
    /// Parses a text; `Err` says what would be right.
    fn parse(kind: SettingKind, text: &str) -> Parsed<Self>;

    /// The value for people, without secrets.
    fn show(&self) -> String;

    /// The value as its origin means it: a relative path in the job file starts in the directory of that file.
    fn located(setting: Setting<Self>) -> Setting<Self> {
        setting
    }
}

/// The type of a field of resolved settings: a required value, an optional one, or a list.
pub(super) trait ReadSetting: Sized {
    /// Reads the setting `name` from the highest layer that has it.
    fn read(layers: &Layers<'_>, name: &'static str) -> Result<Setting<Self>, ConfigError>;

    /// The value for people, without secrets; `none` if there is none.
    fn shown(&self) -> String;
}

impl<T: SettingValue> ReadSetting for T {
    fn read(layers: &Layers<'_>, name: &'static str) -> Result<Setting<Self>, ConfigError> {
        layers.must(name, T::parse).map(T::located)
    }

    fn shown(&self) -> String {
        self.show()
    }
}

impl<T: SettingValue> ReadSetting for Option<T> {
    fn read(layers: &Layers<'_>, name: &'static str) -> Result<Setting<Self>, ConfigError> {
        let found = layers.one(name, T::parse)?;
        Ok(found.map_or(Setting::none(), |found| T::located(found).map(Some)))
    }

    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::show)
    }
}

impl<T: SettingValue> ReadSetting for Vec<T> {
    fn read(layers: &Layers<'_>, name: &'static str) -> Result<Setting<Self>, ConfigError> {
        layers.list(name, T::parse)
    }

    fn shown(&self) -> String {
        let shown: Vec<String> = self.iter().map(T::show).collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }
}

/// Values that are shown by `Display`, with the function that parses them.
macro_rules! displayed {
    ($($type:ty: $parse:expr;)+) => {
        $(impl SettingValue for $type {
            fn parse(kind: SettingKind, text: &str) -> Parsed<Self> {
                $parse(kind, text)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        })+
    };
}

displayed! {
    bool: parse::switch;
    u8: parse::whole;
    u32: parse::whole;
    u64: number;
    String: text;
    &'static str: word;
    Alias: |kind, text| parse::name(kind, text).map(Alias::new);
    ActivitySetting: |kind, text| parse::source(kind, text).map(|(word, what)| Self { word, what });
    Storage: parse::variant;
    Verify: parse::variant;
    RedisUrl: parse::url;
    NatsUrl: parse::nats_url;
    AddressMapping: parse::address;
    SocketAddr: parse::listen_address;
    PublicKey: parse::public_key;
}

fn number(kind: SettingKind, text: &str) -> Parsed<u64> {
    match kind {
        SettingKind::Bytes { .. } => parse::bytes(kind, text),
        _ => parse::whole(kind, text),
    }
}

fn text(kind: SettingKind, text: &str) -> Parsed<String> {
    match kind {
        SettingKind::Name => parse::name(kind, text),
        SettingKind::Context => parse::context(kind, text),
        SettingKind::Patterns => parse::pattern(kind, text),
        SettingKind::Hosts => parse::host(kind, text),
        _ => parse::line(kind, text),
    }
}

fn word(kind: SettingKind, text: &str) -> Parsed<&'static str> {
    match kind {
        SettingKind::Overrides => parse::field(kind, text),
        _ => parse::choice(kind, text),
    }
}

impl SettingValue for Duration {
    fn parse(kind: SettingKind, text: &str) -> Parsed<Self> {
        parse::time(kind, text)
    }

    fn show(&self) -> String {
        duration::show(*self)
    }
}

impl SettingValue for PathBuf {
    fn parse(kind: SettingKind, text: &str) -> Parsed<Self> {
        parse::path(kind, text)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }

    fn located(setting: Setting<Self>) -> Setting<Self> {
        login::located(setting)
    }
}

impl SettingValue for BackupPlace {
    fn parse(kind: SettingKind, text: &str) -> Parsed<Self> {
        parse::place(kind, text)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn located(setting: Setting<Self>) -> Setting<Self> {
        let Setting { value, origin } = setting;
        match value {
            Self::Directory(path) => login::located(Setting { value: path, origin }).map(Self::Directory),
            value @ Self::Bucket(_) => Setting { value, origin },
        }
    }
}

impl SettingValue for Secret {
    fn parse(kind: SettingKind, text: &str) -> Parsed<Self> {
        match kind {
            SettingKind::SecretUrls => parse::secret_url(kind, text),
            _ => parse::secret(kind, text),
        }
    }

    fn show(&self) -> String {
        MASK.to_owned()
    }
}

impl SettingValue for SecretSource {
    fn parse(kind: SettingKind, text: &str) -> Parsed<Self> {
        parse::secret(kind, text).map(Self::known)
    }

    fn show(&self) -> String {
        MASK.to_owned()
    }
}
