//! Resolves [`Settings`] from the layers: first the job is selected, then its Redis deployment, then every setting is
//! read. Also here: the values that depend on other settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keysweep_model::ids::Alias;
use keysweep_model::secret::Secret;
use keysweep_model::words::quoted;

use super::deployment::{self, choose_redis, deployments, is_addressed};
use super::environment::{Environment, HOME, XDG_STATE_HOME};
use super::error::{ConfigError, subject};
use super::file::JobFile;
use super::layers::{FlagLayer, Layers, Problems};
use super::login;
use super::nats;
use super::origin::{Origin, Setting};
use super::parse;
use super::raw::RawTable;
use super::rules;
use super::table::{JobSources, NatsSettings, RedisSettings, Settings};
use super::tls;

/// Resolves the settings of one job. It reads files of passwords and tokens and the configured context of the nats CLI,
/// and no other files.
///
/// # Errors
/// The first bad value, a job or alias that does not exist, or a password file that cannot be read. A value that a
/// higher layer overrides is not checked.
pub fn resolve(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<Settings, ConfigError> {
    let mut layers = layers(flags, env, file);
    layers.job = choose_job(&layers, file)?;
    let nats = nats::resolve(&layers)?;
    job_settings(layers, file, nats)
}

/// Resolves the settings of every job of the file, in its order, each as in [`resolve`]; of the built-in default job if
/// the file has none, and of one job if a flag or variable names it.
///
/// # Errors
/// Those of [`resolve`]; also a Redis URL in a flag or variable if the jobs use several deployments, because all of
/// them would clean the same one.
pub fn resolve_all(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<Vec<Settings>, ConfigError> {
    let layers = layers(flags, env, file);
    let named = layers.must("name", parse::name)?;
    let jobs = file.map_or(&[][..], |file| &file.tables.jobs);
    if named.origin != Origin::Default || jobs.is_empty() {
        return Ok(vec![resolve(flags, env, file)?]);
    }
    let nats = nats::resolve(&layers)?;
    let of = |job| job_settings(Layers { job: Some(job), ..layers }, file, nats.clone());
    let all: Vec<Settings> = jobs.iter().map(of).collect::<Result<_, _>>()?;
    one_deployment_at_a_time(&all).map(|()| all)
}

/// The address of the HTTP endpoints, if there is one, whatever the other settings are.
///
/// # Errors
/// A bad value.
pub fn admin_addr(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<Option<Setting<SocketAddr>>, ConfigError> {
    layers(flags, env, file).one("serve.admin_addr", parse::listen_address)
}

/// The content of a job file, with all its problems.
#[derive(Debug)]
pub struct CheckedFile {
    /// The jobs.
    pub jobs: Vec<CheckedJob>,
    /// All problems, in the order in which they were found, each once.
    pub problems: Vec<ConfigError>,
    /// Files and contexts that cannot be read here. They may exist where keysweep runs.
    pub unread: Vec<ConfigError>,
}

/// A job, with defaults instead of bad values.
#[derive(Debug)]
pub struct CheckedJob {
    /// Its settings.
    pub settings: Settings,
    /// Whether no value was bad, so that checks of settings together are valid.
    pub is_whole: bool,
}

/// Resolves every job of a file and the shared tables, without flags and environment. Parts with an invalid shape are
/// skipped: [`check_file`](super::check_file) reports them.
#[must_use]
pub fn check_jobs(path: &Path, text: &str) -> CheckedFile {
    let file = &JobFile::as_far_as_read(path, text);
    let (flags, env, problems) = (FlagLayer::default(), Environment::default(), Problems::default());
    let layers = Layers { problems: Some(&problems), ..layers(&flags, &env, Some(file)) };
    let note = |problem| problems.borrow_mut().push(problem);
    let nats = nats::resolve(&layers).map_err(note).ok().flatten();
    for table in &file.tables.redis {
        let _ = deployment::deployment(&Layers { redis: Some(table), ..layers }).map_err(note);
    }
    let mut jobs = Vec::new();
    let tables = file.tables.jobs.iter().map(Some);
    let default = file.tables.jobs.is_empty().then_some(None);
    for job in tables.chain(default) {
        let before = problems.borrow().len();
        let read = job_settings(Layers { job, ..layers }, Some(file), nats.clone()).map_err(note);
        let wrong = |problem: &ConfigError| matches!(problem, ConfigError::BadValue { .. });
        let is_whole = !problems.borrow()[before..].iter().any(wrong);
        jobs.extend(read.ok().map(|settings| CheckedJob { settings, is_whole }));
    }
    let mut said = BTreeSet::new();
    let all = problems.into_inner().into_iter().filter(|problem| said.insert(problem.to_string()));
    let elsewhere =
        |p: &ConfigError| matches!(p, ConfigError::Unreadable { .. } | ConfigError::BadContext { .. });
    let (unread, problems) = all.partition(elsewhere);
    CheckedFile { jobs, problems, unread }
}

/// The deployments that a backup may be restored to.
#[derive(Clone, Debug)]
pub struct Destinations {
    /// At least one deployment.
    pub deployments: BTreeMap<Alias, RedisSettings>,
    /// The connection to NATS.
    pub nats: Option<NatsSettings>,
}

/// The deployment of the selected or only job. If there are several jobs and none is selected, the one that flags and
/// environment configure, or else all.
///
/// # Errors
/// Those of [`resolve`]. Several jobs are an error only if flags or environment configure a deployment without its
/// alias.
pub fn destinations(
    flags: &FlagLayer,
    env: &Environment,
    file: Option<&JobFile>,
) -> Result<Destinations, ConfigError> {
    let several = match resolve(flags, env, file) {
        Ok(Settings { alias, redis, nats, .. }) => {
            return Ok(Destinations { deployments: BTreeMap::from([(alias.value, redis)]), nats });
        }
        Err(error @ ConfigError::SeveralJobs { .. }) => error,
        Err(error) => return Err(error),
    };
    let mut layers = layers(flags, env, file);
    let nats = nats::resolve(&layers)?;
    if !is_addressed(&layers) {
        return Ok(Destinations { deployments: deployments(flags, env, file)?, nats });
    }
    match choose_redis(&mut layers, file) {
        Ok(alias) => {
            let deployments = BTreeMap::from([(alias.value, deployment::deployment(&layers)?)]);
            Ok(Destinations { deployments, nats })
        }
        Err(error) if layers.one("redis", parse::name)?.is_some() => Err(error),
        Err(_) => Err(several),
    }
}

fn layers<'a>(flags: &'a FlagLayer, env: &'a Environment, file: Option<&'a JobFile>) -> Layers<'a> {
    let nats = file.and_then(|file| file.tables.nats.as_ref());
    let serve = file.and_then(|file| file.tables.serve.as_ref());
    Layers { nats, serve, ..Layers::new(flags, env) }
}

/// Rejects a URL in a flag or variable that would apply to several aliases.
fn one_deployment_at_a_time(all: &[Settings]) -> Result<(), ConfigError> {
    let aliases: BTreeSet<String> = all.iter().map(|settings| settings.alias.value.to_string()).collect();
    let above_the_file = |settings: &&Settings| settings.redis.urls.origin.is_above_file();
    let Some(settings) = all.iter().find(above_the_file).filter(|_| aliases.len() > 1) else {
        return Ok(());
    };
    let (urls, aliases) = (subject(&settings.redis.urls.origin, "urls"), Vec::from_iter(aliases));
    Err(ConfigError::Contradiction(format!(
        "{urls} gives one Redis deployment, but the jobs use several: {}; leave it out, or name one job \
         with `--job`",
        quoted(aliases)
    )))
}

/// The settings of the job whose table is in `layers`, or of the default job.
fn job_settings<'a>(
    mut layers: Layers<'a>,
    file: Option<&'a JobFile>,
    nats: Option<NatsSettings>,
) -> Result<Settings, ConfigError> {
    let alias = choose_redis(&mut layers, file)?;
    let redis = deployment::deployment(&layers)?;
    let rules = rules::of_job(&layers)?;
    let settings = Settings::read(&JobSources { layers, alias, redis, nats, rules })?;
    tls::check_admin(&layers, &settings)?;
    Ok(settings)
}

/// The alias, which is chosen before the connection is resolved.
pub(super) fn alias(job: &JobSources<'_>) -> Result<Setting<Alias>, ConfigError> {
    Ok(job.alias.clone())
}

/// The database, which a URL may contain.
pub(super) fn db(job: &JobSources<'_>) -> Result<Setting<u32>, ConfigError> {
    login::db(&job.layers, &job.redis.urls)
}

pub(super) fn display_name(job: &JobSources<'_>) -> Result<Setting<String>, ConfigError> {
    let name = job.layers.must("name", parse::name)?;
    Ok(job.layers.one("display_name", parse::line)?.unwrap_or_else(|| name.derive(pascal_case(&name.value))))
}

pub(super) fn expire_ttl(job: &JobSources<'_>) -> Result<Setting<Duration>, ConfigError> {
    match job.layers.one("expire_ttl", parse::time)? {
        Some(ttl) => Ok(ttl),
        None => job.layers.must("configured_ttl", parse::time),
    }
}

pub(super) fn jitter(job: &JobSources<'_>) -> Result<Setting<Duration>, ConfigError> {
    let ttl = expire_ttl(job)?;
    Ok(job.layers.one("jitter", parse::time)?.unwrap_or_else(|| ttl.derive(ttl.value / 10)))
}

pub(super) fn webhook_secret(job: &JobSources<'_>) -> Result<Setting<Option<Secret>>, ConfigError> {
    login::secret(&job.layers, "webhook_secret", "webhook_secret_file")
}

pub(super) fn report_dir(job: &JobSources<'_>) -> Result<Setting<Option<PathBuf>>, ConfigError> {
    if let Some(given) = job.layers.one("report_dir", parse::path)? {
        return Ok(login::located(given).map(Some));
    }
    let state_dir = state_dir(job)?;
    Ok(state_dir.derive(state_dir.value.as_ref().map(|dir| dir.join("reports"))))
}

/// The given directory, unless it is `none`; else the customary one, if it is known. In one layer, that of the service
/// wins over that of the job: its jobs share a state file.
pub(super) fn state_dir(job: &JobSources<'_>) -> Result<Setting<Option<PathBuf>>, ConfigError> {
    let layers = &job.layers;
    let own = layers.one("state_dir", parse::path)?;
    let shared = layers.one("serve.state_dir", parse::path)?;
    let is_lower = |own: &Setting<PathBuf>| {
        shared.as_ref().is_some_and(|shared| shared.origin.rank() >= own.origin.rank())
    };
    let own = own.filter(|own| !is_lower(own));
    if let Some(given) = own.or(shared) {
        let keeps = given.value != Path::new("none");
        return Ok(login::located(given).map(|dir| keeps.then_some(dir)));
    }
    let home = || layers.env.get(HOME).map(|home| Path::new(home).join(".local/state"));
    let base = layers.env.get(XDG_STATE_HOME).map(PathBuf::from).or_else(home);
    Ok(Setting { value: base.map(|base| base.join("keysweep")), origin: Origin::Default })
}

/// The selected job, or the file's only one; `None` for the built-in default job, which exists only if no file defines
/// jobs, and accepts any name.
fn choose_job<'f>(
    layers: &Layers<'_>,
    file: Option<&'f JobFile>,
) -> Result<Option<&'f RawTable>, ConfigError> {
    let named = layers.must("name", parse::name)?;
    let jobs = file.map_or(&[][..], |file| &file.tables.jobs);
    match (&named.origin, file, jobs) {
        (_, None, _) | (_, _, []) => Ok(None),
        (Origin::Default, _, [job]) => Ok(Some(job)),
        (Origin::Default, Some(file), _) => {
            Err(ConfigError::SeveralJobs { path: file.path().to_owned(), names: file.job_names() })
        }
        (_, Some(file), _) => file.job(&named.value).map(Some).ok_or_else(|| no_such_job(&named, file)),
    }
}

/// The error for a name that is not in the file: the default job under that name would clean other keys than expected.
fn no_such_job(named: &Setting<String>, file: &JobFile) -> ConfigError {
    let found = format!("the jobs of {} are {}", file.path().display(), quoted(file.job_names()));
    ConfigError::NoSuchJob { origin: named.origin.clone(), wanted: named.value.clone(), found }
}

/// `permission-cache-cleanup` becomes `PermissionCacheCleanup`.
fn pascal_case(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    };
    name.split(['-', '_']).map(capitalised).collect::<Vec<String>>().concat()
}
