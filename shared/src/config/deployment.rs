//! A Redis deployment: which alias is meant, and how to reach the servers behind one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::address_map::AddressMapping;
use super::environment::Environment;
use super::error::ConfigError;
use super::file::{JobFile, no_such_alias};
use super::layers::{FlagLayer, Layers};
use super::login::{self, Credentials};
use super::origin::{Origin, Setting};
use super::parse;
use super::secret::Secret;
use super::setting_def::Section;
use super::table::{self, SETTINGS};
use super::tls::{self, TlsSettings};
use super::url::RedisUrl;
use crate::ids::Alias;

/// The alias of a deployment that has no other name.
const DEFAULT_ALIAS: &str = "main";

/// How to reach one Redis deployment.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Seeds, at least one. Their own user and password are overruled by the two below.
    pub urls: Setting<Vec<RedisUrl>>,
    /// The user to log in as.
    pub username: Setting<Option<String>>,
    /// Its password.
    pub password: Setting<Option<Secret>>,
    /// How to speak TLS, if the URLs ask for it.
    pub tls: TlsSettings,
    /// The user to log in as to Sentinels.
    pub sentinel_user: Setting<Option<String>>,
    /// The password for them.
    pub sentinel_password: Setting<Option<Secret>>,
    /// Where servers are reached that announce other addresses.
    pub address_map: Setting<Vec<AddressMapping>>,
}

/// Every deployment that a worker may be asked to go to: one for each `[redis.<alias>]` of the file,
/// and the one that flags and environment address. That is the alias that a job without `redis`
/// would get: the one of `KEYSWEEP_REDIS_ALIAS`, else the file's only one, else `main`. The other
/// aliases are as the file says, whatever flags and environment give.
///
/// # Errors
/// A bad value, a password file that cannot be read, or Redis settings in flags or environment of
/// which nobody says to which alias of the file they belong.
pub fn deployments(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<BTreeMap<Alias, RedisSettings>, ConfigError> {
    let mut found = BTreeMap::new();
    let (no_flags, no_env) = (FlagLayer::default(), Environment::default());
    let mut layers = Layers { flags, env, job: None, redis: None, nats: None, serve: None, problems: None };
    match choose_redis(&mut layers, file) {
        Ok(alias) => {
            found.insert(alias.value, deployment(&layers)?);
        }
        Err(error) if is_addressed(&layers) => return Err(error),
        Err(_) => {}
    }
    for table in file.map_or(&[][..], |file| &file.tables.redis) {
        if let Entry::Vacant(place) = found.entry(Alias::new(table.name.clone())) {
            let (flags, env) = (&no_flags, &no_env);
            let layers =
                Layers { flags, env, job: None, redis: Some(table), nats: None, serve: None, problems: None };
            place.insert(deployment(&layers)?);
        }
    }
    Ok(found)
}

/// Whether flags or environment say anything about Redis, be it only the alias.
pub(super) fn is_addressed(layers: &Layers<'_>) -> bool {
    let about_redis = |name: &str, section| section == Section::Redis || name == "redis";
    SETTINGS.iter().any(|spec| about_redis(spec.name, spec.section) && layers.is_given_above_file(spec))
}

/// The deployment that `layers` describe.
pub(super) fn deployment(layers: &Layers<'_>) -> Result<RedisSettings, ConfigError> {
    let urls = layers.list("urls", parse::url)?;
    let Credentials { username, password } = login::credentials(layers, &urls)?;
    let tls = tls::resolve(layers, &urls)?;
    Ok(RedisSettings {
        urls,
        username,
        password,
        tls,
        sentinel_user: layers.optional("sentinel_user", parse::line)?,
        sentinel_password: login::secret(layers, "sentinel_password", "sentinel_password_file")?,
        address_map: layers.list("address_map", parse::address)?,
    })
}

/// Settles the alias and makes its table a layer. An alias that somebody named must have a table in
/// the file: falling back to another server is the last thing a cleaner should do.
pub(super) fn choose_redis<'f>(
    layers: &mut Layers<'f>,
    file: Option<&'f JobFile>,
) -> Result<Setting<Alias>, ConfigError> {
    let named = layers.one("redis", parse::name)?;
    let tables = file.map_or(&[][..], |file| &file.tables.redis);
    let alias = match (named, tables) {
        (Some(named), _) => named,
        (None, [only]) => Setting { value: only.name.clone(), origin: only.origin(only.line) },
        (None, _) => Setting { value: DEFAULT_ALIAS.to_owned(), origin: Origin::Default },
    };
    layers.redis = file.and_then(|file| file.redis(&alias.value));
    let needs_table = if alias.origin == Origin::Default { !tables.is_empty() } else { file.is_some() };
    match table::by_name("redis") {
        Some(spec) if needs_table && layers.redis.is_none() => {
            let problem = no_such_alias(spec, &alias.origin, &alias.value, tables);
            layers.tolerate(Err(problem), alias.map(Alias::new))
        }
        _ => Ok(alias.map(Alias::new)),
    }
}
