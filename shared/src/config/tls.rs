//! The settings of TLS to Redis, and that certificate and key come together. Files are named here, not read.

use std::path::PathBuf;

use super::error::{ConfigError, subject};
use super::layers::Layers;
use super::login::located;
use super::origin::{Origin, Setting};
use super::parse;
use super::url::RedisUrl;

/// How to speak TLS to the servers of a deployment. Of use only where its URLs ask for TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The certificates of the authorities to trust.
    pub cacert: Setting<Option<PathBuf>>,
    /// Our own certificate; there is a key with it.
    pub cert: Setting<Option<PathBuf>>,
    /// Its private key.
    pub key: Setting<Option<PathBuf>>,
    /// The name that the servers' certificates hold.
    pub sni: Setting<Option<String>>,
    /// Whether any certificate is taken.
    pub insecure: Setting<bool>,
}

/// Reads them. `urls` are those of the deployment.
pub(super) fn resolve(
    layers: &Layers<'_>,
    urls: &Setting<Vec<RedisUrl>>,
) -> Result<TlsSettings, ConfigError> {
    let path = |name| {
        let none = Setting { value: None, origin: Origin::Default };
        Ok(layers.one(name, parse::path)?.map(located).map_or(none, |path| path.map(Some)))
    };
    let tls = TlsSettings {
        cacert: path("cacert")?,
        cert: path("cert")?,
        key: path("key")?,
        sni: layers.optional("sni", parse::line)?,
        insecure: layers.must("insecure", parse::switch)?,
    };
    layers.tolerate(together(&tls.cert, &tls.key, [("cert", "--cert"), ("key", "--key")]), ())?;
    layers.tolerate(all_or_none(&tls, urls), ())?;
    Ok(tls)
}

/// Certificate and key, of which neither is of use alone. `names` are their names and flags.
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

/// A deployment speaks TLS or does not; and who says how to speak it does not want it left out. What a lower layer
/// says about TLS does not count against a URL of a higher one.
fn all_or_none(tls: &TlsSettings, urls: &Setting<Vec<RedisUrl>>) -> Result<(), ConfigError> {
    let plain = urls.value.iter().find(|url| !url.is_encrypted());
    let encrypted = urls.value.iter().find(|url| url.is_encrypted());
    let given = [
        (tls.cacert.value.is_some(), &tls.cacert.origin, "cacert"),
        (tls.cert.value.is_some(), &tls.cert.origin, "cert"),
        (tls.sni.value.is_some(), &tls.sni.origin, "sni"),
        (tls.insecure.value, &tls.insecure.origin, "insecure"),
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
