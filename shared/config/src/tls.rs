//! Checks of the TLS settings: certificate and key need each other, and the URLs must use TLS. Files are not read.

use std::path::PathBuf;

use super::error::{ConfigError, subject};
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::table::{RedisSettings, Settings};

/// Checks the settings of TLS of a deployment against each other and its URLs.
pub(super) fn check(layers: &Layers<'_>, redis: &RedisSettings) -> Result<(), ConfigError> {
    layers.tolerate(together(&redis.cert, &redis.key, [("cert", "--cert"), ("key", "--key")]), ())?;
    layers.tolerate(all_or_none(redis), ())
}

/// Checks the settings of TLS of the admin address against each other.
pub(super) fn check_admin(layers: &Layers<'_>, settings: &Settings) -> Result<(), ConfigError> {
    let names = [("serve.admin_cert", "--admin-cert"), ("serve.admin_key", "--admin-key")];
    layers.tolerate(together(&settings.admin_cert, &settings.admin_key, names), ())
}

/// Checks that there are both a certificate and a key, or neither. `names` are their names and flags.
pub(super) fn together(
    cert: &Setting<Option<PathBuf>>,
    key: &Setting<Option<PathBuf>>,
    names: [(&str, &str); 2],
) -> Result<(), ConfigError> {
    let [(cert_name, cert_flag), (key_name, key_flag)] = names;
    let needs = |given: &Setting<Option<PathBuf>>, name, other: &str, flag: &str| {
        let given = subject(&given.origin, name);
        Err(ConfigError::Contradiction(format!("{given} needs `{other}` as well (`{flag}`)")))
    };
    match (&cert.value, &key.value) {
        (Some(_), None) => needs(cert, cert_name, key_name, key_flag),
        (None, Some(_)) => needs(key, key_name, cert_name, cert_flag),
        _ => Ok(()),
    }
}

/// Checks that all URLs of a deployment use TLS or none, and that settings of TLS come with such URLs. Settings of a
/// lower layer than the URLs do not count.
fn all_or_none(redis: &RedisSettings) -> Result<(), ConfigError> {
    let urls = &redis.urls;
    let plain = urls.value.iter().find(|url| !url.is_encrypted());
    let encrypted = urls.value.iter().find(|url| url.is_encrypted());
    let given = [
        (redis.cacert.value.is_some(), &redis.cacert.origin, "cacert"),
        (redis.cert.value.is_some(), &redis.cert.origin, "cert"),
        (redis.sni.value.is_some(), &redis.sni.origin, "sni"),
        (redis.insecure.value, &redis.insecure.origin, "insecure"),
    ];
    let counts = |origin: &Origin| origin.rank() >= urls.origin.rank() && *origin != Origin::Default;
    let given = given.into_iter().find(|(given, origin, _)| *given && counts(origin));
    match (plain, encrypted, given) {
        (Some(plain), Some(encrypted), _) => Err(ConfigError::Contradiction(format!(
            "`{encrypted}` asks for TLS and `{plain}` does not, but they are of one deployment: write all of them \
             with `rediss://`, or none"
        ))),
        (Some(plain), None, Some((_, origin, name))) => Err(ConfigError::Contradiction(format!(
            "{} is about TLS, but `{plain}` asks for none: write `rediss://`, or leave it out",
            subject(origin, name)
        ))),
        _ => Ok(()),
    }
}
