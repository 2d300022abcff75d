//! From the layers to [`Settings`]: the job is chosen first, then its Redis deployment, then every
//! setting is read once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::deployment::{self, RedisSettings, choose_redis, deployments, is_addressed};
use super::environment::{Environment, HOME, XDG_STATE_HOME};
use super::error::{ConfigError, quoted, subject};
use super::file::JobFile;
use super::layers::{FlagLayer, Layers, Problems};
use super::login;
use super::nats::{self, NatsSettings};
use super::origin::{Origin, Setting};
use super::pace;
use super::parse;
use super::raw::RawTable;
use super::settings::{ActivitySetting, BackupPlace, ConfiguredAction, Queries, Settings};
use crate::ids::Alias;
use crate::messages::Verify;

/// Resolves the settings of one job. Read are the files of passwords and tokens and the context of
/// the nats CLI that is named, nothing else.
///
/// # Errors
/// The first bad value among those that count, a job or alias that does not exist, or a password
/// file that cannot be read. A value that a higher layer overrules is not looked at.
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

/// Resolves the settings of every job of the file, in its order, each as [`resolve`] does; of the
/// built-in default job if there are none, and of one job if a flag or variable names it.
///
/// # Errors
/// Those of [`resolve`]; and a Redis URL from a flag or a variable where the jobs use several
/// deployments, because all of them would clean the same one.
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

/// What a job file holds, read on after each problem.
#[derive(Debug)]
pub struct CheckedFile {
    /// The jobs.
    pub jobs: Vec<CheckedJob>,
    /// Everything that is wrong, in the order in which it was found; something that several jobs share only once.
    pub problems: Vec<ConfigError>,
    /// Files and contexts that cannot be read here. They may be there where keysweep runs.
    pub unread: Vec<ConfigError>,
}

/// A job, with defaults in the place of bad values.
#[derive(Debug)]
pub struct CheckedJob {
    /// Its settings.
    pub settings: Settings,
    /// Whether no value was bad, so that what follows from the settings together holds as well.
    pub is_whole: bool,
}

/// Resolves every job of a file and everything that they share, without flags and environment. What has not the shape
/// of a job file is passed over: [`check_file`](super::check_file) names it.
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

/// Where a backup may be put back.
#[derive(Clone, Debug)]
pub struct Destinations {
    /// Deployments, at least one.
    pub deployments: BTreeMap<Alias, RedisSettings>,
    /// The way to NATS.
    pub nats: Option<NatsSettings>,
}

/// The deployment of the job that is named or is the only one. If there are several jobs, and none is named, the one
/// that flags and environment address, or else all.
///
/// # Errors
/// Those of [`resolve`]. That there are several jobs is one only if flags or environment address a deployment without
/// naming which one.
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
    Layers { flags, env, job: None, redis: None, nats, serve, problems: None }
}

/// Refuses a URL from above the file that would stand for several aliases at once.
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
        quoted(&aliases)
    )))
}

/// The settings of the job whose table is in `layers`, or of the default job.
fn job_settings<'a>(
    mut layers: Layers<'a>,
    file: Option<&'a JobFile>,
    nats: Option<NatsSettings>,
) -> Result<Settings, ConfigError> {
    let job = layers.must("name", parse::name)?;
    let alias = choose_redis(&mut layers, file)?;
    let redis = deployment::deployment(&layers)?;

    let configured_ttl = layers.must("configured_ttl", parse::time)?;
    let expire_ttl = layers.one("expire_ttl", parse::time)?.unwrap_or_else(|| configured_ttl.clone());
    let tenth = || expire_ttl.derive(expire_ttl.value / 10);
    let jitter = layers.one("jitter", parse::time)?.unwrap_or_else(tenth);
    let display_name =
        layers.one("display_name", parse::line)?.unwrap_or_else(|| job.derive(pascal_case(&job.value)));

    let state_dir = state_dir(&layers)?;
    let report_dir = match layers.one("report_dir", parse::path)?.map(login::located) {
        Some(given) => given.map(Some),
        None => state_dir.derive(state_dir.value.as_ref().map(|dir| dir.join("reports"))),
    };
    let at_full_speed = || {
        (Setting { value: None, origin: Origin::Default }, Setting { value: false, origin: Origin::Default })
    };
    let (latency_budget, max_speed) = layers.tolerate(pace::latency_budget(&layers), at_full_speed())?;

    Ok(Settings {
        display_name,
        db: login::db(&layers, &redis.urls)?,
        patterns: layers.list("patterns", parse::pattern)?,
        protect: layers.list("protect", parse::pattern)?,
        action: layers.must("action", parse::choice)?.map(action),
        grace: layers.must("grace", parse::time)?,
        verify: layers.must("verify", parse::choice)?.map(verify),
        dry_run: layers.must("dry_run", parse::switch)?,
        full_scan: layers.must("full_scan", parse::switch)?,
        aggressive_cleanup: layers.must("aggressive_cleanup", parse::switch)?,
        inactivity_threshold_days: layers.must("inactivity_threshold_days", parse::whole)?,
        identity: layers.optional("identity", parse::line)?,
        activity: layers.optional("activity", parse::source)?.map(|source| source.map(place)),
        near_expiry: layers.must("near_expiry", parse::time)?,
        allow_no_active: layers.must("allow_no_active", parse::switch)?,
        hit_rate: layers.must("hit_rate", parse::source)?.map(place),
        queries: Queries {
            hits: layers.optional("hits_query", parse::line)?,
            misses: layers.optional("misses_query", parse::line)?,
            errors: layers.optional("errors_query", parse::line)?,
        },
        generate_report: layers.must("generate_report", parse::switch)?,
        report_dir,
        state_dir,
        backup: backup(&layers)?,
        backup_value_max: layers.must("backup_value_max", parse::bytes)?,
        sample_every: layers.must("sample_every", parse::time)?,
        webhooks: layers.list("webhooks", parse::secret_url)?,
        webhook_secret: login::secret(&layers, "webhook_secret", "webhook_secret_file")?,
        slack_webhooks: layers.list("slack_webhooks", parse::secret_url)?,
        scan_batch_size: layers.must("scan_batch_size", parse::whole)?,
        delete_batch_size: layers.must("delete_batch_size", parse::whole)?,
        latency_budget,
        rate_limit: layers.optional("rate_limit", parse::whole)?,
        max_speed,
        reads_replicas: layers.must("read_from", parse::choice)?.map(|word| word == "replica"),
        replica_lag: layers.must("replica_lag", parse::time)?,
        max_delete_percent: layers.must("max_delete_percent", parse::whole)?,
        max_runtime: layers.optional("max_runtime", parse::time)?,
        lock_wait: layers.must("lock_wait", parse::time)?,
        allow_override: layers.list("allow_override", parse::field)?,
        attempts: layers.must("attempts", parse::whole)?,
        retry_backoff: layers.must("retry_backoff", parse::time)?,
        catch_up: layers.must("catch_up", parse::switch)?,
        schedule: layers.must("schedule", parse::line)?,
        timezone: layers.must("timezone", parse::line)?,
        api_token: login::unread(&layers, "serve.api_token", "serve.api_token_file")?,
        job,
        alias,
        redis,
        configured_ttl,
        expire_ttl,
        jitter,
        nats,
    })
}

fn verify(word: &'static str) -> Verify {
    if word == "value" { Verify::Value } else { Verify::Ttl }
}

fn place((word, what): (&'static str, String)) -> ActivitySetting {
    ActivitySetting { word, what }
}

/// A relative directory from the job file starts where that file is.
fn backup(layers: &Layers<'_>) -> Result<Setting<Option<BackupPlace>>, ConfigError> {
    let Setting { value, origin } = layers.optional("backup", parse::place)?;
    match value {
        Some(BackupPlace::Directory(path)) => {
            let path = login::located(Setting { value: path, origin });
            Ok(path.map(|path| Some(BackupPlace::Directory(path))))
        }
        value => Ok(Setting { value, origin }),
    }
}

/// The directory that is named, unless its name is `none`; else the one that is customary, if it is known.
fn state_dir(layers: &Layers<'_>) -> Result<Setting<Option<PathBuf>>, ConfigError> {
    if let Some(given) = layers.one("state_dir", parse::path)? {
        let keeps = given.value != Path::new("none");
        return Ok(login::located(given).map(|dir| keeps.then_some(dir)));
    }
    let home = || layers.env.get(HOME).map(|home| Path::new(home).join(".local/state"));
    let base = layers.env.get(XDG_STATE_HOME).map(PathBuf::from).or_else(home);
    Ok(Setting { value: base.map(|base| base.join("keysweep")), origin: Origin::Default })
}

/// The job that was named, or the file's only one; `None` for the built-in default job, which there is only where no file
/// defines any, and which goes by any name.
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
        (_, Some(file), _) => match file.job(&named.value) {
            Some(job) => Ok(Some(job)),
            None => Err(no_such_job(named, file)),
        },
    }
}

/// A job that is not one of a file's would clean with default patterns under a name that promises something else, so it
/// is refused.
fn no_such_job(named: Setting<String>, file: &JobFile) -> ConfigError {
    let found = format!("the jobs of {} are {}", file.path().display(), quoted(&file.job_names()));
    ConfigError::NoSuchJob { origin: named.origin, wanted: named.value, found }
}

/// The table allows these three words and no others.
fn action(word: &'static str) -> ConfiguredAction {
    match word {
        "expire" => ConfiguredAction::Expire,
        "report" => ConfiguredAction::Report,
        _ => ConfiguredAction::Delete,
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
