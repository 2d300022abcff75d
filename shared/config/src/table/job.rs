//! The settings of a job: `[[job]]` and `[serve]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use keysweep_model::ids::Alias;
use keysweep_model::messages::{Action, StatedRule, Verify};
use keysweep_model::secret::Secret;

use super::{NatsSettings, RedisSettings, settings};
use crate::display::DisplayRow;
use crate::error::ConfigError;
use crate::group::{Group, Scope};
use crate::layers::Layers;
use crate::limits::{BACKUP_VALUE_MAX, LATENCY_BUDGET, REPLICA_LAG};
use crate::login::{self, SecretSource};
use crate::origin::Setting;
use crate::setting_def::SettingDef;
use crate::setting_kind::SettingKind;
use crate::value::ReadSetting;
use crate::values::{ActivitySetting, BackupPlace};
use crate::{pace, resolve, rules};

const DAY_S: u64 = 86_400;
const MIB: u64 = 1 << 20;

/// Below a millisecond, the network alone differs by more from one second to the next.
const LATENCY_BUDGETS: SettingKind =
    SettingKind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(10) };

/// What the settings of a job are resolved from.
pub(crate) struct JobSources<'a> {
    pub(crate) layers: Layers<'a>,
    pub(crate) alias: Setting<Alias>,
    pub(crate) redis: RedisSettings,
    pub(crate) nats: Option<NatsSettings>,
    pub(crate) rules: Vec<Setting<StatedRule>>,
}

settings! {
    /// One job's settings, each with its origin. All values are within the bounds of the table.
    Settings from JobSources, rows ROWS, and {
        /// The connection to Redis.
        redis: RedisSettings,
        /// The connection to NATS; `None` if everything runs in one process.
        nats: Option<NatsSettings>,
        /// The rules of the job; without any, it has the short form: patterns and an action.
        rules: Vec<Setting<StatedRule>>,
    }

    Selection {
        /// Name of the job; with several jobs in the file, the one to use
        job: String => SettingDef::job("name", "KEYSWEEP_JOB", SettingKind::Name)
            .flag("--job").also(&[Scope::Inspect, Scope::TtlAdvise, Scope::Restore, Scope::Stats, Scope::Drive])
            .default("permission-cache-cleanup");
        /// Name of the job in log lines
        display_name: String, by resolve::display_name =>
            SettingDef::job("display_name", "KEYSWEEP_DISPLAY_NAME", SettingKind::Text)
            .derived("the job's name in PascalCase").example("PermissionCacheCleanup");
        /// Alias of the Redis deployment to clean
        alias: Alias, by resolve::alias => SettingDef::job("redis", "KEYSWEEP_REDIS_ALIAS", SettingKind::Name)
            .derived("`main`, or the only `[redis.<alias>]` of the file").example("main");
        /// Database number
        db: u32, by resolve::db => SettingDef::job("db", "KEYSWEEP_DB", SettingKind::Whole { min: 0, max: 65_535 })
            .flag("--db").also(&[Scope::Inspect, Scope::TtlAdvise]).heading("Redis").default("0");
        /// Keys to clean; repeatable
        patterns: Vec<String> => SettingDef::job("patterns", "KEYSWEEP_PATTERN", SettingKind::Patterns)
            .flag("--pattern").also(&[Scope::TtlAdvise]).default("permissions:*");
        /// Keys that are never touched, whatever else is set; repeatable; flag, variable and job file add up
        protect: Vec<String> => SettingDef::job("protect", "KEYSWEEP_PROTECT", SettingKind::Patterns)
            .flag("--protect").adds_up();
        /// Scan every key, also on nodes where no key is without TTL
        full_scan: bool => SettingDef::job("full_scan", "KEYSWEEP_FULL_SCAN", SettingKind::Switch)
            .flag("--full-scan").default("false");
    }

    InactiveUsers {
        /// Also remove keys of inactive users
        aggressive_cleanup: bool => SettingDef::job("aggressive_cleanup", "KEYSWEEP_AGGRESSIVE", SettingKind::Switch)
            .alias("aggressiveCleanup").json("aggressiveCleanup")
            .flag("--aggressive").other_env("AGGRESSIVE_CACHE_CLEANUP").default("false");
        /// Days without activity after which a user is inactive
        inactivity_threshold_days: u32 => SettingDef::job(
                "inactivity_threshold_days", "KEYSWEEP_INACTIVITY_DAYS", SettingKind::Whole { min: 1, max: 36_500 })
            .alias("inactivityThresholdDays").json("inactivityThresholdDays")
            .flag("--inactivity-days").other_env("CACHE_INACTIVITY_THRESHOLD_DAYS").default("30");
        /// Where the user id is in a key, such as `permissions:{user}:*`
        identity: Option<String> => SettingDef::job("identity", "KEYSWEEP_IDENTITY", SettingKind::Text)
            .flag("--identity").value_name("TEMPLATE").example("permissions:{user}:*");
        /// Which users are active: `zset:KEY` (scores are times), `set:KEY`, or `idletime`
        activity: Option<ActivitySetting> => SettingDef::job(
                "activity", "KEYSWEEP_ACTIVITY", SettingKind::Source(&["zset:", "set:", "idletime"]))
            .flag("--activity");
        /// Keys of inactive users that expire this soon are left to expire
        near_expiry: Duration => SettingDef::job(
                "near_expiry", "KEYSWEEP_NEAR_EXPIRY", SettingKind::seconds(0, 365 * DAY_S))
            .flag("--near-expiry").default("5m");
        /// Remove keys of inactive users even if no key of an active user is found
        allow_no_active: bool => SettingDef::job("allow_no_active", "KEYSWEEP_ALLOW_NO_ACTIVE", SettingKind::Switch)
            .json("allowNoActive").flag("--allow-no-active").default("false");
    }

    Reports {
        /// Source of hits and misses: `redis`, `hash:KEY`, or `prometheus:URL`
        hit_rate: ActivitySetting => SettingDef::job(
                "hit_rate", "KEYSWEEP_HIT_RATE", SettingKind::Source(&["redis", "hash:", "prometheus:"]))
            .flag("--hit-rate").also(&[Scope::TtlAdvise]).default("redis");
        /// Prometheus query of the application's hits (a counter)
        hits_query: Option<String> => SettingDef::job("hits_query", "KEYSWEEP_HITS_QUERY", SettingKind::Text)
            .example("sum(cache_hits_total)");
        /// Prometheus query of the application's misses (a counter)
        misses_query: Option<String> => SettingDef::job("misses_query", "KEYSWEEP_MISSES_QUERY", SettingKind::Text)
            .example("sum(cache_misses_total)");
        /// Prometheus query of the application's errors (a counter)
        errors_query: Option<String> => SettingDef::job("errors_query", "KEYSWEEP_ERRORS_QUERY", SettingKind::Text)
            .example("sum(cache_errors_total)");
        /// Write a report of each run, as HTML and Markdown
        generate_report: bool => SettingDef::job("generate_report", "KEYSWEEP_GENERATE_REPORT", SettingKind::Switch)
            .alias("generateReport").neutral_json("generateReport").default("true");
        /// Directory of the reports
        report_dir: Option<PathBuf>, by resolve::report_dir =>
            SettingDef::job("report_dir", "KEYSWEEP_REPORT_DIR", SettingKind::Path)
            .flag("--report-dir").value_name("DIR").derived("`reports` in `state_dir`");
        /// File that receives the metrics of each `run` without NATS, for node_exporter's textfile collector
        metrics_file: Option<PathBuf> => SettingDef::job("metrics_file", "KEYSWEEP_METRICS_FILE", SettingKind::Path)
            .flag("--metrics-file").value_name("FILE");
        /// Directory of the state file without NATS: history of runs, deleted keys, events; `none` keeps nothing
        state_dir: Option<PathBuf>, by resolve::state_dir =>
            SettingDef::job("state_dir", "KEYSWEEP_STATE_DIR", SettingKind::Path)
            .flag("--state-dir").value_name("DIR").also(&[Scope::Stats, Scope::Runs, Scope::TtlAdvise])
            .derived("`keysweep` in `$XDG_STATE_HOME`, or in `~/.local/state`");
        /// How long the state file names the keys that were deleted
        audit_retention: Duration => SettingDef::job(
                "audit_retention", "KEYSWEEP_AUDIT_RETENTION", SettingKind::seconds(1, 365 * DAY_S))
            .default("7d");
        /// How often `serve` reads the counters of the cache between runs
        sample_every: Duration => SettingDef::job("sample_every", "KEYSWEEP_SAMPLE_EVERY", SettingKind::seconds(1, DAY_S))
            .default("1h");
        /// How often `serve` looks at keys with a TTL, for advice about TTLs; `0s`: never
        ttl_look_every: Duration => SettingDef::job(
                "ttl_look_every", "KEYSWEEP_TTL_LOOK_EVERY", SettingKind::seconds(0, DAY_S))
            .default("1h");
        /// URLs that receive alerts as JSON
        webhooks: Vec<Secret> => SettingDef::job("webhooks", "KEYSWEEP_WEBHOOKS", SettingKind::SecretUrls);
        /// Secret that signs webhook requests
        webhook_secret: Option<Secret>, by resolve::webhook_secret =>
            SettingDef::job("webhook_secret", "KEYSWEEP_WEBHOOK_SECRET", SettingKind::Secret);
        /// File with that secret
        webhook_secret_file: Option<PathBuf> =>
            SettingDef::job("webhook_secret_file", "KEYSWEEP_WEBHOOK_SECRET_FILE", SettingKind::Path).secret_file();
        /// Slack-compatible URLs that receive alerts
        slack_webhooks: Vec<Secret> => SettingDef::job("slack_webhooks", "KEYSWEEP_SLACK_WEBHOOKS", SettingKind::SecretUrls);
        /// TTL that the application sets; recommendations use it
        configured_ttl: Duration => SettingDef::job(
                "configured_ttl", "KEYSWEEP_CONFIGURED_TTL", SettingKind::seconds(1, 3_650 * DAY_S))
            .flag("--configured-ttl").also(&[Scope::TtlAdvise]).default("15m");
        /// Hit rate in percent that a recommended TTL must reach; without it, memory decides
        ttl_target_hit_rate: Option<u8> => SettingDef::job(
                "ttl_target_hit_rate", "KEYSWEEP_TTL_TARGET_HIT_RATE", SettingKind::Whole { min: 1, max: 99 });
    }

    Action {
        /// What happens to stale keys: `delete`, `expire` or `report`
        action: &'static str => SettingDef::job(
                "action", "KEYSWEEP_ACTION", SettingKind::Choice(&Action::NAMES))
            .flag("--action").value_name("ACTION").default("delete");
        /// TTL that the action `expire` sets
        expire_ttl: Duration, by resolve::expire_ttl => SettingDef::job(
                "expire_ttl", "KEYSWEEP_EXPIRE_TTL", SettingKind::seconds(1, 3_650 * DAY_S))
            .flag("--expire-ttl").derived("`configured_ttl`, or `15m`");
        /// Random time up to this, added to each such TTL
        jitter: Duration, by resolve::jitter =>
            SettingDef::job("jitter", "KEYSWEEP_JITTER", SettingKind::seconds(0, 365 * DAY_S))
            .flag("--jitter").derived("a tenth of `expire_ttl`");
    }

    Safety {
        /// Report only; send no write command
        dry_run: bool => SettingDef::job("dry_run", "KEYSWEEP_DRY_RUN", SettingKind::Switch)
            .json("dryRun").flag("--dry-run").default("false");
        /// Save each key here before it is deleted: a directory, or `nats://BUCKET`
        backup: Option<BackupPlace> => SettingDef::job("backup", "KEYSWEEP_BACKUP", SettingKind::Place)
            .flag("--backup").also(&[Scope::Reaper]);
        /// With `backup`, keys larger than this (bytes) are not deleted
        backup_value_max: u64 => SettingDef::job(
                "backup_value_max", "KEYSWEEP_BACKUP_VALUE_MAX", SettingKind::Bytes { min: 1_024, max: 256 * MIB })
            .flag("--backup-value-max").default(BACKUP_VALUE_MAX);
        /// Minimum time between the two reads of a stale key
        grace: Duration => SettingDef::job("grace", "KEYSWEEP_GRACE", SettingKind::seconds(0, 300))
            .flag("--grace").default("1s");
        /// What must be the same at both reads for a key to be deleted: `ttl`, or `value` as well
        verify: Verify => SettingDef::job("verify", "KEYSWEEP_VERIFY", SettingKind::Choice(&["ttl", "value"]))
            .flag("--verify").value_name("WHAT").default("ttl");
        /// Refuse to delete more than this share of the matching keys
        max_delete_percent: u8 => SettingDef::job(
                "max_delete_percent", "KEYSWEEP_MAX_DELETE_PERCENT", SettingKind::Whole { min: 0, max: 100 })
            .flag("--max-delete-percent").default("50");
        /// End the run after this time, planning included
        max_runtime: Option<Duration> => SettingDef::job(
                "max_runtime", "KEYSWEEP_MAX_RUNTIME", SettingKind::seconds(1, 30 * DAY_S))
            .flag("--max-runtime").also(&[Scope::Inspect]);
        /// How long to wait for another run of the job
        lock_wait: Duration => SettingDef::job("lock_wait", "KEYSWEEP_LOCK_WAIT", SettingKind::seconds(0, DAY_S))
            .flag("--lock-wait").default("0s");
    }

    Schedule {
        /// Cron schedule, or `auto`: as stale keys arrive
        schedule: String => SettingDef::job("schedule", "KEYSWEEP_SCHEDULE", SettingKind::Text)
            .other_env("PERMISSION_CACHE_CLEANUP_CRON").default("0 */6 * * *");
        /// Time zone of the schedule, and of `quiet`
        timezone: String => SettingDef::job("timezone", "KEYSWEEP_TIMEZONE", SettingKind::Text).default("UTC");
        /// With `auto`: shortest time from the start of a run to the start of the next one
        auto_min_interval: Duration => SettingDef::job(
                "auto_min_interval", "KEYSWEEP_AUTO_MIN_INTERVAL", SettingKind::seconds(1, 30 * DAY_S))
            .default("15m");
        /// With `auto`: longest such time, except where quiet windows are longer
        auto_max_interval: Duration => SettingDef::job(
                "auto_max_interval", "KEYSWEEP_AUTO_MAX_INTERVAL", SettingKind::seconds(1, 365 * DAY_S))
            .default("24h");
        /// With `auto`: stale keys that there may be
        auto_max_stale: Option<u64> => SettingDef::job(
                "auto_max_stale", "KEYSWEEP_AUTO_MAX_STALE", SettingKind::Whole { min: 1, max: 1_000_000_000 })
            .derived("10 and a thousandth of all keys, at most 1,000,000");
        /// With `auto`: what a run costs, in stale keys kept for an hour; without it, only their number counts
        auto_run_cost: Option<u64> => SettingDef::job(
                "auto_run_cost", "KEYSWEEP_AUTO_RUN_COST", SettingKind::Whole { min: 1, max: 1_000_000_000 });
        /// With `auto`: when no run starts, such as `Mon-Fri 08:00-18:00; Sat 10:00-12:00`
        quiet: Option<String> => SettingDef::job("quiet", "KEYSWEEP_QUIET", SettingKind::Text)
            .value_name("WINDOWS").example("Mon-Fri 08:00-18:00");
        /// Start a run that was due while no `serve` was running
        catch_up: bool => SettingDef::job("catch_up", "KEYSWEEP_CATCH_UP", SettingKind::Switch).default("false");
        /// How often a run is tried before it counts as failed
        attempts: u32 => SettingDef::job("attempts", "KEYSWEEP_ATTEMPTS", SettingKind::Whole { min: 1, max: 10 })
            .flag("--attempts").default("2");
        /// Pause before the next attempt; it doubles
        retry_backoff: Duration => SettingDef::job(
                "retry_backoff", "KEYSWEEP_RETRY_BACKOFF", SettingKind::seconds(0, DAY_S))
            .default("30s");
        /// Request fields, over HTTP and NATS, that may ask for more than the job
        allow_override: Vec<&'static str> => SettingDef::job(
            "allow_override", "KEYSWEEP_ALLOW_OVERRIDE", SettingKind::Overrides);
    }

    Pace {
        /// How much the p99 of the application's requests may grow
        latency_budget: Option<Duration>, by pace::budget =>
            SettingDef::job("latency_budget", "KEYSWEEP_LATENCY_BUDGET", LATENCY_BUDGETS)
            .json("latencyBudget").flag("--latency-budget").also(&[Scope::Inspect, Scope::TtlAdvise]).default(LATENCY_BUDGET);
        /// Keys that the whole run may read per second
        rate_limit: Option<u64> => SettingDef::job(
                "rate_limit", "KEYSWEEP_RATE_LIMIT", SettingKind::Whole { min: 1, max: 1_000_000_000 })
            .json("rateLimit").flag("--rate-limit").also(&[Scope::Inspect]).value_name("KEYS_PER_SECOND");
        /// Full speed, without a latency budget
        max_speed: bool, by pace::max_speed =>
            SettingDef::job("max_speed", "KEYSWEEP_MAX_SPEED", SettingKind::Switch)
            .json("maxSpeed").flag("--max-speed").also(&[Scope::Inspect, Scope::TtlAdvise]).default("false");
        /// Servers that keys and TTLs are read from: `primary` or `replica`
        read_from: &'static str => SettingDef::job(
                "read_from", "KEYSWEEP_READ_FROM", SettingKind::Choice(&["primary", "replica"]))
            .flag("--read-from").also(&[Scope::Inspect]).value_name("SERVERS").default("primary");
        /// How far behind a replica may be; beyond it, its primary is read
        replica_lag: Duration => SettingDef::job("replica_lag", "KEYSWEEP_REPLICA_LAG", SettingKind::seconds(0, 3_600))
            .default(REPLICA_LAG);
        /// Keys per SCAN call (`COUNT`)
        scan_batch_size: u32 => SettingDef::job(
                "scan_batch_size", "KEYSWEEP_SCAN_BATCH_SIZE", SettingKind::Whole { min: 1, max: 10_000 })
            .alias("scanBatchSize").json("scanBatchSize").flag("--scan-batch-size").also(&[Scope::Inspect]).default("100");
        /// Keys per deletion call
        delete_batch_size: u32 => SettingDef::job(
                "delete_batch_size", "KEYSWEEP_DELETE_BATCH_SIZE", SettingKind::Whole { min: 1, max: 1_000 })
            .flag("--delete-batch-size").default("100");
    }

    Serve {
        /// Bearer token of the HTTP API
        api_token: Option<SecretSource>, by login::api_token =>
            SettingDef::serve("serve.api_token", "KEYSWEEP_API_TOKEN", SettingKind::Secret);
        /// File with the token of the HTTP API
        api_token_file: Option<PathBuf> =>
            SettingDef::serve("serve.api_token_file", "KEYSWEEP_API_TOKEN_FILE", SettingKind::Path)
            .flag("--api-token-file").secret_file();
        /// Answer /livez, /readyz, /metrics and, in `serve`, /api over HTTP at this address
        admin_addr: Option<SocketAddr> => SettingDef::serve(
                "serve.admin_addr", "KEYSWEEP_ADMIN_ADDR", SettingKind::ListenAddress)
            .flag("--admin-addr").also(&[Scope::Worker, Scope::Health]);
        /// PEM file with the certificate for HTTPS at this address, and its chain
        admin_cert: Option<PathBuf> =>
            SettingDef::serve("serve.admin_cert", "KEYSWEEP_ADMIN_CERT", SettingKind::Path)
            .flag("--admin-cert").also(&[Scope::Worker]);
        /// PEM file with the private key of that certificate
        admin_key: Option<PathBuf> =>
            SettingDef::serve("serve.admin_key", "KEYSWEEP_ADMIN_KEY", SettingKind::Path)
            .flag("--admin-key").also(&[Scope::Worker]);
        /// Directory of the state file of all jobs, instead of the `state_dir` of each
        serve_state_dir: Option<PathBuf> =>
            SettingDef::serve("serve.state_dir", "KEYSWEEP_SERVE_STATE_DIR", SettingKind::Path);
        /// Token of clients that only read, in the HTTP API and on the page
        view_token: Option<SecretSource>, by login::view_token =>
            SettingDef::serve("serve.view_token", "KEYSWEEP_VIEW_TOKEN", SettingKind::Secret);
        /// File with the token of clients that only read
        view_token_file: Option<PathBuf> =>
            SettingDef::serve("serve.view_token_file", "KEYSWEEP_VIEW_TOKEN_FILE", SettingKind::Path)
            .flag("--view-token-file").secret_file();
        /// Show the page without a token, for reading, on a loopback address
        dashboard: bool => SettingDef::serve("serve.dashboard", "KEYSWEEP_DASHBOARD", SettingKind::Switch)
            .default("false");
        /// Show names of keys on the page and to clients that only read
        dashboard_keys: bool =>
            SettingDef::serve("serve.dashboard_keys", "KEYSWEEP_DASHBOARD_KEYS", SettingKind::Switch)
            .default("false");
        /// Host names of the page, besides IP addresses and `localhost`
        hosts: Vec<String> => SettingDef::serve("serve.hosts", "KEYSWEEP_HOSTS", SettingKind::Hosts);
    }
}

impl Settings {
    /// All settings in the table's order, without secrets; those of NATS only if there is a connection.
    /// The file of a secret shows as the origin of the secret. Rules stand in place of the short form.
    #[must_use]
    pub fn rows(&self) -> Vec<DisplayRow> {
        let nats = self.nats.iter().flat_map(NatsSettings::rows);
        let of_form = |row: &DisplayRow| self.rules.is_empty() || !rules::SHORT_FORM.contains(&row.name);
        let own = self.own_rows().into_iter().filter(of_form).chain(rules::rows(&self.rules));
        own.chain(self.redis.rows()).chain(nats).collect()
    }

    /// What the run does to stale keys; a dry run only reports them.
    #[must_use]
    pub fn effective_action(&self) -> Action {
        if self.dry_run.value { Action::Report } else { self.configured_action() }
    }

    /// The action on stale keys, regardless of a dry run.
    #[must_use]
    pub fn configured_action(&self) -> Action {
        let [ttl_ms, jitter_ms] = [self.expire_ttl.value, self.jitter.value]
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4));
        // The table allows no other words.
        Action::configured(self.action.value, ttl_ms, jitter_ms).unwrap_or(Action::Report)
    }
}
