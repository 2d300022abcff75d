//! A Redis deployment: which alias is selected, and the settings of its connection.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use keysweep_model::ids::Alias;

use super::environment::Environment;
use super::error::ConfigError;
use super::file::{JobFile, no_such_alias};
use super::layers::{FlagLayer, Layers};
use super::login;
use super::origin::{Origin, Setting};
use super::parse;
use super::setting_def::Section;
use super::table::{self, RedisSettings, RedisSources, SETTINGS};
use super::tls;

/// The alias of a deployment without a name.
const DEFAULT_ALIAS: &str = "main";

/// Every deployment that a worker may connect to: one for each `[redis.<alias>]` of the file, and the one that flags
/// and environment configure. Its alias is that of a job without `redis`: `KEYSWEEP_REDIS_ALIAS`, else the file's only
/// one, else `main`. Flags and environment do not change the other deployments.
///
/// # Errors
/// A bad value, a password file that cannot be read, or Redis settings in flags or environment if the file has several
/// aliases and none is selected.
pub fn deployments(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<BTreeMap<Alias, RedisSettings>, ConfigError> {
    let mut found = BTreeMap::new();
    let (no_flags, no_env) = (FlagLayer::default(), Environment::default());
    let mut layers = Layers::new(flags, env);
    match choose_redis(&mut layers, file) {
        Ok(alias) => {
            found.insert(alias.value, deployment(&layers)?);
        }
        Err(error) if is_addressed(&layers) => return Err(error),
        Err(_) => {}
    }
    for table in file.map_or(&[][..], |file| &file.tables.redis) {
        if let Entry::Vacant(place) = found.entry(Alias::new(table.name.clone())) {
            let layers = Layers { redis: Some(table), ..Layers::new(&no_flags, &no_env) };
            place.insert(deployment(&layers)?);
        }
    }
    Ok(found)
}

/// Whether flags or environment have a setting of Redis, or the alias.
pub(super) fn is_addressed(layers: &Layers<'_>) -> bool {
    let about_redis = |name: &str, section| section == Section::Redis || name == "redis";
    SETTINGS
        .iter()
        .any(|spec| about_redis(spec.name, spec.section) && layers.origin_above_file(spec).is_some())
}

/// Resolves the deployment from `layers`.
pub(super) fn deployment(layers: &Layers<'_>) -> Result<RedisSettings, ConfigError> {
    let urls = layers.list("urls", parse::url)?;
    let credentials = login::credentials(layers, &urls)?;
    let redis = RedisSettings::read(&RedisSources { layers: *layers, credentials })?;
    tls::check(layers, &redis)?;
    Ok(redis)
}

/// Selects the alias and adds its table to the layers. A configured alias must have a table in the file: a fallback to
/// another server could delete the wrong keys.
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
