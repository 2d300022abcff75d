//! The settings of a Redis deployment: `[redis.<alias>]`.

use std::path::PathBuf;

use keysweep_model::address_map::AddressMapping;
use keysweep_model::secret::Secret;

use super::settings;
use crate::display::DisplayRow;
use crate::error::ConfigError;
use crate::group::Group;
use crate::layers::Layers;
use crate::login::{self, Credentials};
use crate::origin::Setting;
use crate::setting_def::SettingDef;
use crate::setting_kind::SettingKind;
use crate::url::RedisUrl;
use crate::value::ReadSetting;

/// What the settings of a deployment are resolved from.
pub(crate) struct RedisSources<'a> {
    pub(crate) layers: Layers<'a>,
    /// User name and password, from URLs or settings of their own.
    pub(crate) credentials: Credentials,
}

settings! {
    /// How to connect to one Redis deployment. User and password in the URLs are overruled by their fields. There is
    /// `cert` if and only if there is `key`.
    RedisSettings from RedisSources, rows ROWS, and {}

    Redis {
        /// Redis server, cluster seed or Sentinels; repeatable
        urls: Vec<RedisUrl> => SettingDef::redis("urls", "KEYSWEEP_REDIS", SettingKind::Urls)
            .flag("--redis").other_env("REDIS_URL").default("redis://127.0.0.1:6379");
        /// Redis user name
        username: Option<String>, by login::username =>
            SettingDef::redis("username", "KEYSWEEP_USER", SettingKind::Text).flag("--user");
        /// Redis password
        password: Option<Secret>, by login::password =>
            SettingDef::redis("password", "KEYSWEEP_PASSWORD", SettingKind::Secret).other_env("REDISCLI_AUTH");
        /// File with the Redis password
        password_file: Option<PathBuf> =>
            SettingDef::redis("password_file", "KEYSWEEP_PASSWORD_FILE", SettingKind::Path)
            .flag("--password-file").secret_file();
        /// User name at the Sentinels
        sentinel_user: Option<String> =>
            SettingDef::redis("sentinel_user", "KEYSWEEP_SENTINEL_USER", SettingKind::Text).flag("--sentinel-user");
        /// Password at the Sentinels
        sentinel_password: Option<Secret>, by login::sentinel_password =>
            SettingDef::redis("sentinel_password", "KEYSWEEP_SENTINEL_PASSWORD", SettingKind::Secret);
        /// File with the Sentinel password
        sentinel_password_file: Option<PathBuf> =>
            SettingDef::redis("sentinel_password_file", "KEYSWEEP_SENTINEL_PASSWORD_FILE", SettingKind::Path)
            .flag("--sentinel-password-file").secret_file();
        /// Address at which a server is reachable that announces another one: `announced=reachable`; repeatable
        address_map: Vec<AddressMapping> =>
            SettingDef::redis("address_map", "KEYSWEEP_ADDRESS_MAP", SettingKind::Addresses).flag("--address-map");
        /// PEM file with the certificate authorities to trust for `rediss://`
        cacert: Option<PathBuf> => SettingDef::redis("cacert", "KEYSWEEP_CACERT", SettingKind::Path)
            .flag("--cacert").derived("the system's");
        /// PEM file with the client certificate for `rediss://`
        cert: Option<PathBuf> => SettingDef::redis("cert", "KEYSWEEP_CERT", SettingKind::Path).flag("--cert");
        /// PEM file with the private key of the client certificate
        key: Option<PathBuf> => SettingDef::redis("key", "KEYSWEEP_KEY", SettingKind::Path).flag("--key");
        /// Name in the server certificates
        sni: Option<String> => SettingDef::redis("sni", "KEYSWEEP_SNI", SettingKind::Text)
            .flag("--sni").derived("the host");
        /// Accept any certificate: encrypted, but the server is not authenticated
        insecure: bool => SettingDef::redis("insecure", "KEYSWEEP_INSECURE", SettingKind::Switch)
            .flag("--insecure").default("false");
    }
}

impl RedisSettings {
    pub(super) fn rows(&self) -> Vec<DisplayRow> {
        self.own_rows()
    }
}
