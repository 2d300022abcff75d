//! From the layers to [`Settings`]: the job is chosen first, then its Redis deployment, then every
//! setting is read once.

use super::environment::Environment;
use super::error::{ConfigError, quoted};
use super::file::{JobFile, no_such_alias};
use super::layers::{FlagLayer, Layers};
use super::login;
use super::origin::{Origin, Setting};
use super::parse;
use super::settings::{Action, Settings};
use super::table;
use super::tables::Table;
use crate::ids::Alias;

/// The alias of a deployment that has no other name.
const DEFAULT_ALIAS: &str = "main";

/// Resolves the settings of one job. A password file is read, nothing else.
///
/// # Errors
/// The first bad value among those that count, a job or alias that does not exist, or a password
/// file that cannot be read. A value that a higher layer overrules is not looked at.
pub fn resolve(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<Settings, ConfigError> {
    let mut layers = Layers { flags, env, job: None, redis: None };
    layers.job = choose_job(&layers, file)?;
    let job = layers.must("name", parse::name)?;
    let alias = choose_redis(&mut layers, file)?;
    let redis = layers.list("urls", parse::url)?;
    let login::Credentials { username, password } = login::credentials(&layers, &redis)?;

    let configured_ttl = layers.must("configured_ttl", parse::time)?;
    let expire_ttl = layers.one("expireTtl", parse::time)?.unwrap_or_else(|| configured_ttl.clone());
    let tenth = || expire_ttl.derive(expire_ttl.value / 10);
    let jitter = layers.one("jitter", parse::time)?.unwrap_or_else(tenth);
    let display_name =
        layers.one("display_name", parse::line)?.unwrap_or_else(|| job.derive(pascal_case(&job.value)));

    Ok(Settings {
        display_name,
        db: login::db(&layers, &redis)?,
        patterns: layers.list("patterns", parse::pattern)?,
        protect: layers.list("protect", parse::pattern)?,
        action: layers.must("action", parse::choice)?.map(action),
        grace: layers.must("grace", parse::time)?,
        dry_run: layers.must("dryRun", parse::switch)?,
        aggressive_cleanup: layers.must("aggressiveCleanup", parse::switch)?,
        inactivity_threshold_days: layers.must("inactivityThresholdDays", parse::whole)?,
        generate_report: layers.must("generateReport", parse::switch)?,
        scan_batch_size: layers.must("scanBatchSize", parse::whole)?,
        delete_batch_size: layers.must("deleteBatchSize", parse::whole)?,
        max_delete_percent: layers.must("maxDeletePercent", parse::whole)?,
        max_runtime: layers.optional("maxRuntime", parse::time)?,
        lock_wait: layers.must("lockWait", parse::time)?,
        schedule: layers.must("schedule", parse::line)?,
        timezone: layers.must("timezone", parse::line)?,
        job,
        alias,
        redis,
        username,
        password,
        configured_ttl,
        expire_ttl,
        jitter,
    })
}

/// The job that was named, or the file's only one; `None` for the built-in default job, which there
/// is only where no file defines any.
fn choose_job<'f>(layers: &Layers<'_>, file: Option<&'f JobFile>) -> Result<Option<&'f Table>, ConfigError> {
    let named = layers.must("name", parse::name)?;
    let jobs = file.map_or(&[][..], |file| &file.tables.jobs);
    match (&named.origin, file, jobs) {
        (Origin::Default, _, []) => Ok(None),
        (Origin::Default, _, [job]) => Ok(Some(job)),
        (Origin::Default, Some(file), _) => {
            Err(ConfigError::SeveralJobs { path: file.path().to_owned(), names: file.job_names() })
        }
        (_, _, []) if is_default_job(&named.value) => Ok(None),
        (_, Some(file), _) if file.job(&named.value).is_some() => Ok(file.job(&named.value)),
        _ => Err(no_such_job(named, file)),
    }
}

fn is_default_job(name: &str) -> bool {
    table::by_name("name").is_some_and(|spec| spec.default_text() == name)
}

/// A job that nobody defined would clean with default patterns under a name that promises something
/// else, so it is refused.
fn no_such_job(named: Setting<String>, file: Option<&JobFile>) -> ConfigError {
    let found = match file.map(|file| (file.path().display(), file.job_names())) {
        None => "there is no job file (`--config FILE`, or `keysweep.toml` here)".to_owned(),
        Some((path, names)) if names.is_empty() => format!("{path} has no jobs"),
        Some((path, names)) => format!("the jobs of {path} are {}", quoted(&names)),
    };
    ConfigError::NoSuchJob { origin: named.origin, wanted: named.value, found }
}

/// Settles the alias and makes its table a layer. An alias that somebody named must have a table in
/// the file: falling back to another server is the last thing a cleaner should do.
fn choose_redis<'f>(
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
            Err(no_such_alias(spec, &alias.origin, &alias.value, tables))
        }
        _ => Ok(alias.map(Alias::new)),
    }
}

/// The table allows these three words and no others.
fn action(word: &'static str) -> Action {
    match word {
        "expire" => Action::Expire,
        "report" => Action::Report,
        _ => Action::Delete,
    }
}

/// `permission-cache-cleanup` becomes `PermissionCacheCleanup`.
fn pascal_case(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    };
    name.split(['-', '_']).map(capitalised).collect::<Vec<String>>().concat()
}
