//! Resolves the NATS connection. There is one if and only if a flag, a variable or the job file has a URL or a context
//! of the nats CLI; otherwise everything runs in one process.
//!
//! A context has the rank of the layer that names it, just below that layer's own settings: with `--nats-context`, its
//! user wins over that of the job file and loses to `--nats-user`. A URL of a higher layer replaces the context, which
//! is then not read: its login is for other servers. The client opens key, certificate and credentials files.

mod context;
mod identity;
mod sources;
mod url;

use std::path::PathBuf;

pub(super) use self::identity::NatsIdentity;
pub(super) use self::sources::Sources;
pub use self::url::NatsUrl;
use super::error::ConfigError;
use super::layers::Layers;
use super::origin::Setting;
use super::parse;
use super::table::{NatsSettings, NatsSources};
use super::tls;
use keysweep_model::secret::Secret;
use strum::{Display, EnumString};

/// The server of a context without a URL, as in the nats CLI.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// Where the server stores streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Storage {
    /// On disk.
    File,
    /// In memory; they are lost when the server restarts.
    Memory,
}

/// Resolves the connection; `None` if no layer configures one. Reads the context's file and the files of a password
/// or token.
pub(super) fn resolve(layers: &Layers<'_>) -> Result<Option<NatsSettings>, ConfigError> {
    let urls = layers.list("nats.url", parse::nats_url)?;
    let named = layers.one("nats.context", parse::context)?;
    let counts = |name: &Setting<String>| urls.value.is_empty() || name.origin.rank() >= urls.origin.rank();
    let named = named.filter(counts);
    if urls.value.is_empty() && named.is_none() {
        return Ok(None);
    }
    let sources = Sources::new(*layers, named.as_ref())?;
    let offers = sources.urls(urls)?;
    let identity = layers.tolerate(identity::identity(&sources, &offers), NatsIdentity::none())?;
    let default_urls = || NatsUrl::parse(DEFAULT_URL).into_iter().collect();
    let urls = sources::best(offers).map(|urls| urls.unwrap_or_else(default_urls));
    let context = named.map_or(Setting::none(), |name| name.map(Some));
    let nats = NatsSettings::read(&NatsSources { layers: *layers, sources, urls, context, identity })?;
    tls::together(&nats.cert, &nats.key, [("nats.cert", "--nats-cert"), ("nats.key", "--nats-key")])?;
    Ok(Some(nats))
}

/// Functions of the table's rows: values that the context or the identity may give.
macro_rules! resolved {
    ($($name:ident: $type:ty = |$nats:ident| $value:expr;)+) => {
        $(pub(super) fn $name($nats: &NatsSources<'_>) -> Result<Setting<$type>, ConfigError> {
            Ok($value)
        })+
    };
}

resolved! {
    urls: Vec<NatsUrl> = |nats| nats.urls.clone();
    context_name: Option<String> = |nats| nats.context.clone();
    creds: Option<PathBuf> = |nats| nats.identity.creds.clone();
    nkey: Option<PathBuf> = |nats| nats.identity.nkey.clone();
    user: Option<String> = |nats| nats.identity.user.clone();
    password: Option<Secret> = |nats| nats.identity.password.clone();
    token: Option<Secret> = |nats| nats.identity.token.clone();
    ca: Option<PathBuf> = |nats| sources::best(nats.sources.paths("nats.ca")?);
    cert: Option<PathBuf> = |nats| sources::best(nats.sources.paths("nats.cert")?);
    key: Option<PathBuf> = |nats| sources::best(nats.sources.paths("nats.key")?);
    domain: Option<String> = |nats| sources::best(nats.sources.offers("nats.domain", parse::name)?);
}
