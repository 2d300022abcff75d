//! The options of a run: settings, checked and converted to the types of the stages.

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use keysweep_config::{BackupPlace, Origin, RedisSettings, RedisUrl, Settings};
use keysweep_http::JobIntegrations;
use keysweep_model::glob::{Pattern, PatternError};
use keysweep_model::ids::Alias;
use keysweep_model::key::Key;
use keysweep_model::messages::{
    Action, Application, Attempt, BackupPolicy, HitRateSource, PacingLimits, Policy, ReadFrom, Rules,
    StatedRule, Verify,
};
use keysweep_model::secret::Secret;
use keysweep_model::selection::Selection;
use keysweep_redis::{ConnectOptions, Network, RedisLogin, Tls, TlsError, TlsFiles};
use thiserror::Error;

use crate::inactive_policy::{self, ActivitySource, InactivePolicy, InactivePolicyError};
use crate::integrations::{IntegrationError, integrations};
use crate::plan::TaskSizes;
use crate::policy_check;
use crate::process_id::myself;
use crate::state::StatePlace;

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The job's name; its lease and lock use it.
    pub job: String,
    /// The job's name in log lines.
    pub display_name: String,
    /// The deployment.
    pub alias: Alias,
    /// How to connect to it.
    pub access: ConnectOptions,
    /// What to look for and to do, with the dry run applied. Without [`Rules::inactive`], which the preflight adds.
    pub rules: Rules,
    /// Where the job file states each of its rules, for errors; empty if that is not known.
    pub rule_places: Vec<String>,
    /// Whether keys of inactive users are deleted as well; `inactive` is set then.
    pub aggressive: bool,
    /// How inactive users are found, if that is configured.
    pub inactive: Option<InactivePolicy>,
    /// Whether actions were turned into reports.
    pub dry_run: bool,
    /// Whether this is only a plan: a plan is allowed where a run that writes is not.
    pub only_plan: bool,
    /// Whether nodes without keys that lack a TTL are scanned, too.
    pub full_scan: bool,
    /// Whether keys are counted by namespace.
    pub namespaces: bool,
    /// Whether the memory of every key is measured, however many there are.
    pub measures_all: bool,
    /// The largest share of matching keys that may be deleted, 0 to 100.
    pub max_delete_percent: u8,
    /// The time limit of the run.
    pub max_runtime: Option<Duration>,
    /// How long to wait for another run of the job to end.
    pub lock_wait: Duration,
    /// The initiator of the run, for display.
    pub started_by: String,
    /// Whether a schedule starts it.
    pub scheduled: bool,
    /// The attempt at the job.
    pub attempt: Attempt,
    /// The application's configuration, for recommendations.
    pub application: Application,
    /// What is kept without NATS, and where.
    pub state: StatePlace,
    /// Where a report of the run is written; `None` if it is not.
    pub report_dir: Option<PathBuf>,
    /// Where the metrics of a run are written; `None`: nowhere.
    pub metrics_file: Option<PathBuf>,
    /// The webhooks for alerts, and the Prometheus server that counts the application's lookups.
    pub integrations: JobIntegrations,
    /// Speed limits.
    pub pacing: PacingLimits,
    /// Which nodes scan tasks read from.
    pub read_from: ReadFrom,
    /// Where keys are saved before they are deleted, and the size in bytes above which keys are kept instead; `None`
    /// if they are not saved.
    pub backup: Option<(BackupPlace, u64)>,
    /// How large scan tasks are.
    pub task_sizes: TaskSizes,
}

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// A pattern that Redis would not accept.
    #[error("pattern `{pattern}` {source}")]
    Pattern {
        /// As given.
        pattern: String,
        /// The error.
        source: PatternError,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The settings for inactive users are incomplete or invalid.
    #[error(transparent)]
    Inactive(#[from] InactivePolicyError),
    /// An address of a webhook or a Prometheus server is invalid.
    #[error(transparent)]
    Outside(#[from] IntegrationError),
}

impl Options {
    /// `rules` with defaults: job `job` on `main`, at full speed, without limits, and without history.
    #[must_use]
    pub fn plain(access: ConnectOptions, rules: Rules) -> Self {
        Self {
            job: "job".to_owned(),
            display_name: "Job".to_owned(),
            alias: Alias::new("main"),
            access,
            rules,
            rule_places: Vec::new(),
            aggressive: false,
            inactive: None,
            dry_run: false,
            only_plan: false,
            full_scan: false,
            namespaces: false,
            measures_all: false,
            max_delete_percent: 100,
            max_runtime: None,
            lock_wait: Duration::ZERO,
            started_by: "unknown".to_owned(),
            scheduled: false,
            attempt: Attempt::default(),
            application: Application::default(),
            state: StatePlace::default(),
            report_dir: None,
            metrics_file: None,
            integrations: JobIntegrations::default(),
            pacing: PacingLimits::default(),
            read_from: ReadFrom::default(),
            backup: None,
            task_sizes: TaskSizes::default(),
        }
    }

    /// How inactive users are found, if their keys are deleted, or if a rule asks for users.
    #[must_use]
    pub fn inactive_policy(&self) -> Option<&InactivePolicy> {
        self.inactive.as_ref().filter(|_| self.aggressive || policy_check::asks_users(&self.rules))
    }

    /// The options from `settings`.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn from_settings(settings: &Settings) -> Result<Self, OptionsError> {
        let (aggressive, inactive) = (settings.aggressive_cleanup.value, inactive_policy::order(settings)?);
        if aggressive && inactive.is_none() {
            return Err(InactivePolicyError::missing(settings).into());
        }
        let policy = policy(settings);
        let is_short = policy.is_none();
        let rules = Rules {
            patterns: if is_short { patterns(&settings.patterns.value)? } else { Vec::new() },
            protect: if is_short { patterns(&settings.protect.value)? } else { Vec::new() },
            sources: sources(settings),
            action: if is_short { settings.effective_action() } else { Action::Report },
            grace_ms: millis(settings.grace.value),
            scan_batch_keys: settings.scan_batch_size.value,
            delete_batch_keys: settings.delete_batch_size.value,
            inactive: None,
            verify: settings.verify.value,
            policy,
        };
        let access = access(&settings.redis, settings.db.value)?;
        let options = Self {
            job: settings.job.value.clone(),
            display_name: settings.display_name.value.clone(),
            alias: settings.alias.value.clone(),
            access,
            rules,
            rule_places: settings.rules.iter().map(|rule| rule.origin.to_string()).collect(),
            aggressive,
            inactive,
            dry_run: settings.dry_run.value,
            only_plan: false,
            full_scan: settings.full_scan.value,
            namespaces: false,
            measures_all: false,
            max_delete_percent: settings.max_delete_percent.value,
            max_runtime: settings.max_runtime.value,
            lock_wait: settings.lock_wait.value,
            started_by: myself(),
            scheduled: false,
            attempt: Attempt::default(),
            application: Application {
                configured_ttl_ms: millis(settings.configured_ttl.value),
                ttl_configured: settings.configured_ttl.origin != Origin::Default,
                hit_rate: hit_rate(settings),
            },
            state: StatePlace::of(settings),
            metrics_file: settings.metrics_file.value.clone(),
            report_dir: settings.report_dir.value.clone().filter(|_| settings.generate_report.value),
            integrations: integrations(settings)?,
            pacing: pace(settings),
            read_from: read_from(settings),
            backup: settings.backup.value.clone().map(|place| (place, settings.backup_value_max.value)),
            task_sizes: TaskSizes::default(),
        };
        options.check()?;
        Ok(options)
    }

    /// # Errors
    /// When options exclude each other.
    pub fn check(&self) -> Result<(), InactivePolicyError> {
        let idle = self.inactive_policy().is_some_and(|order| order.source == ActivitySource::IdleTime);
        if policy_check::asks_users(&self.rules) {
            return match self.inactive {
                None => Err(InactivePolicyError::NoUsers),
                Some(_) if idle => Err(InactivePolicyError::UsersIdle),
                Some(_) => Ok(()),
            };
        }
        match idle {
            true if self.backup_order().is_some() => Err(InactivePolicyError::IdleSaved),
            true if self.verifies() => Err(InactivePolicyError::IdleVerified),
            _ => Ok(()),
        }
    }

    /// The backup in the spec of the run; `None` where nothing is saved, because no backup is set or nothing is
    /// deleted.
    #[must_use]
    pub fn backup_order(&self) -> Option<BackupPolicy> {
        let (place, value_bytes_max) = self.backup.as_ref().filter(|_| self.deletes())?;
        Some(BackupPolicy { target: place.to_string(), value_bytes_max: *value_bytes_max })
    }

    /// Whether the values of keys are compared before they are deleted.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.rules.verify == Verify::Value && self.deletes()
    }

    fn deletes(&self) -> bool {
        self.rules.deletes() || self.inactive_policy().is_some() && self.rules.action.writes()
    }

    /// The largest share of the keys of the rule with this number, from 0, that may be deleted: 0 to 100.
    #[must_use]
    pub fn rule_limit(&self, rule: usize) -> u8 {
        let stated = self.rules.policy.as_ref().and_then(|policy| policy.rules.get(rule));
        stated.and_then(|rule| rule.max_delete_percent).unwrap_or(self.max_delete_percent)
    }

    /// The selection of keys that a run counts.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection::of(&self.alias, self.access.db, &self.rules)
    }
}

static WARNED: Once = Once::new();

/// How to connect to a deployment. Reads the certificate and key files of TLS.
///
/// # Errors
/// When a file cannot be used.
pub fn access(deployment: &RedisSettings, db: u32) -> Result<ConnectOptions, OptionsError> {
    let RedisSettings { urls, username, password, sentinel_user, sentinel_password, address_map, .. } =
        deployment;
    let word = |secret: &Option<Secret>| secret.as_ref().map(Secret::expose).map(str::to_owned);
    let encrypted = urls.value.iter().any(RedisUrl::is_encrypted);
    let files = TlsFiles {
        ca: deployment.cacert.value.clone(),
        identity: deployment.cert.value.clone().zip(deployment.key.value.clone()),
        sni: deployment.sni.value.clone(),
        insecure: deployment.insecure.value,
    };
    let access = ConnectOptions {
        urls: urls.value.iter().map(|url| url.expose().to_owned()).collect(),
        username: username.value.clone(),
        password: word(&password.value),
        db,
        tls: encrypted.then(|| Tls::new(&files)).transpose()?,
        sentinels: RedisLogin {
            username: sentinel_user.value.clone(),
            password: word(&sentinel_password.value),
        },
        address_map: address_map.value.clone(),
        network: Network::default(),
    };
    if access.is_insecure() {
        // Logged once, however many commands and jobs of a process read the settings.
        WARNED.call_once(|| {
            tracing::warn!("INSECURE: any certificate of a Redis server is taken (`--insecure`)");
        });
    }
    Ok(access)
}

fn hit_rate(settings: &Settings) -> HitRateSource {
    let source = &settings.hit_rate.value;
    match source.word {
        "hash" => HitRateSource::Hash(Key::new(source.what.as_bytes())),
        "prometheus" => HitRateSource::Prometheus,
        _ => HitRateSource::Redis,
    }
}

fn pace(settings: &Settings) -> PacingLimits {
    PacingLimits {
        latency_budget_ms: settings.latency_budget.value.map(millis),
        keys_per_s_max: settings.rate_limit.value,
    }
}

fn read_from(settings: &Settings) -> ReadFrom {
    match settings.read_from.value {
        "replica" => ReadFrom::Replica { lag_max_ms: millis(settings.replica_lag.value) },
        _ => ReadFrom::Primary,
    }
}

/// The rules of the job, if it has rules.
fn policy(settings: &Settings) -> Option<Policy> {
    let rules: Vec<StatedRule> = settings.rules.iter().map(|rule| rule.value.clone()).collect();
    (!rules.is_empty()).then_some(Policy { rules, dry_run: settings.dry_run.value, ..Policy::default() })
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, OptionsError> {
    let pattern = |text: &String| {
        Pattern::new(text.as_bytes())
            .map_err(|source| OptionsError::Pattern { pattern: text.clone(), source })
    };
    texts.iter().map(pattern).collect()
}

/// The Redis keys that keysweep itself reads.
fn sources(settings: &Settings) -> Vec<Key> {
    let sources = settings.activity.value.iter().chain([&settings.hit_rate.value]);
    let keys = sources.filter(|source| matches!(source.word, "zset" | "set" | "hash"));
    keys.map(|source| Key::new(source.what.as_bytes())).collect()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
