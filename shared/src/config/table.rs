//! The one table of settings. A row gives a setting's name in the job file, its flag, its variables,
//! its default, its bounds and its help; the command line, the job file, `config show` and every
//! error message are made from it.

use super::setting_def::{Section, SettingDef, SettingKind};
use crate::limits::{BACKUP_VALUE_MAX, LATENCY_BUDGET, QUEUE_BYTES_MIN, REPLICA_LAG};
use std::time::Duration;

const DAY_S: u64 = 86_400;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// Below a millisecond, the network alone differs by more from one second to the next.
const LATENCY_BUDGETS: SettingKind =
    SettingKind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(10) };

/// The fields of a request to start a run in which it may ask for more than its job does: less gentle, or more deletions.
pub const OVERRIDES: &[&str] = &[
    "scanBatchSize",
    "aggressiveCleanup",
    "inactivityThresholdDays",
    "allowNoActive",
    "dryRun",
    "latencyBudget",
    "rateLimit",
    "maxSpeed",
];

/// Every setting, in the order in which `config show` lists them.
pub const SETTINGS: &[SettingDef] = &[
    SettingDef::job("name", "KEYSWEEP_JOB", SettingKind::Name)
        .flag("--job")
        .default("permission-cache-cleanup")
        .help("The job to take, if the job file has several; without jobs in a file, any name for this one"),
    SettingDef::job("display_name", "KEYSWEEP_DISPLAY_NAME", SettingKind::Text)
        .derived("the job's name in PascalCase")
        .help("The name in log lines"),
    SettingDef::job("redis", "KEYSWEEP_REDIS_ALIAS", SettingKind::Name)
        .derived("main, or the only [redis.<alias>] of the file")
        .help("The alias of the Redis deployment to clean"),
    SettingDef::redis("urls", "KEYSWEEP_REDIS", SettingKind::Urls)
        .flag("--redis")
        .other_env("REDIS_URL")
        .default("redis://127.0.0.1:6379")
        .help("Redis server, cluster seed or Sentinels; may be repeated"),
    SettingDef::redis("username", "KEYSWEEP_USER", SettingKind::Text).flag("--user").help("Redis user name"),
    SettingDef::redis("password", "KEYSWEEP_PASSWORD", SettingKind::Secret)
        .other_env("REDISCLI_AUTH")
        .help("Redis password"),
    SettingDef::redis("password_file", "KEYSWEEP_PASSWORD_FILE", SettingKind::Path)
        .flag("--password-file")
        .help("File that holds the Redis password"),
    SettingDef::redis("sentinel_user", "KEYSWEEP_SENTINEL_USER", SettingKind::Text)
        .flag("--sentinel-user")
        .help("User name at the Sentinels"),
    SettingDef::redis("sentinel_password", "KEYSWEEP_SENTINEL_PASSWORD", SettingKind::Secret)
        .help("Password at the Sentinels"),
    SettingDef::redis("sentinel_password_file", "KEYSWEEP_SENTINEL_PASSWORD_FILE", SettingKind::Path)
        .flag("--sentinel-password-file")
        .help("File that holds the password at the Sentinels"),
    SettingDef::redis("address_map", "KEYSWEEP_ADDRESS_MAP", SettingKind::Addresses)
        .flag("--address-map")
        .help(
            "Where a server is reached that announces another address: announced=reachable; may be repeated",
        ),
    SettingDef::redis("cacert", "KEYSWEEP_CACERT", SettingKind::Path)
        .flag("--cacert")
        .derived("the system's")
        .help("Certificates of authorities to trust with rediss://, in PEM"),
    SettingDef::redis("cert", "KEYSWEEP_CERT", SettingKind::Path)
        .flag("--cert")
        .help("Client certificate for rediss://, in PEM"),
    SettingDef::redis("key", "KEYSWEEP_KEY", SettingKind::Path)
        .flag("--key")
        .help("Private key of the client certificate, in PEM"),
    SettingDef::redis("sni", "KEYSWEEP_SNI", SettingKind::Text)
        .flag("--sni")
        .derived("the host")
        .help("Name that the servers' certificates hold"),
    SettingDef::redis("insecure", "KEYSWEEP_INSECURE", SettingKind::Switch)
        .flag("--insecure")
        .default("false")
        .help("Take any certificate: encrypted, but nobody knows with whom"),
    SettingDef::job("db", "KEYSWEEP_DB", SettingKind::Whole { min: 0, max: 65_535 })
        .flag("--db")
        .default("0")
        .help("Database number"),
    SettingDef::job("patterns", "KEYSWEEP_PATTERN", SettingKind::Patterns)
        .flag("--pattern")
        .default("permissions:*")
        .help("Keys to clean; may be repeated"),
    SettingDef::job("protect", "KEYSWEEP_PROTECT", SettingKind::Patterns)
        .flag("--protect")
        .help("Keys never to touch, whatever else matches; may be repeated"),
    SettingDef::job("action", "KEYSWEEP_ACTION", SettingKind::Choice(&["delete", "expire", "report"]))
        .flag("--action")
        .default("delete")
        .help("What to do with stale keys: delete, expire or report"),
    SettingDef::job("expire_ttl", "KEYSWEEP_EXPIRE_TTL", SettingKind::seconds(1, 3_650 * DAY_S))
        .flag("--expire-ttl")
        .derived("configured_ttl, or 15m")
        .help("TTL that the action expire gives"),
    SettingDef::job("jitter", "KEYSWEEP_JITTER", SettingKind::seconds(0, 365 * DAY_S))
        .flag("--jitter")
        .derived("a tenth of --expire-ttl")
        .help("Random time of up to this much, added to each such TTL"),
    SettingDef::job("grace", "KEYSWEEP_GRACE", SettingKind::seconds(0, 300))
        .flag("--grace")
        .default("1s")
        .help("Least time between the two looks at a stale key"),
    SettingDef::job("verify", "KEYSWEEP_VERIFY", SettingKind::Choice(&["ttl", "value"]))
        .flag("--verify")
        .default("ttl")
        .help("What must be the same at both looks for a key to be deleted: ttl, or value as well"),
    SettingDef::job("dry_run", "KEYSWEEP_DRY_RUN", SettingKind::Switch)
        .flag("--dry-run")
        .default("false")
        .help("Report only; send no write command at all"),
    SettingDef::job("full_scan", "KEYSWEEP_FULL_SCAN", SettingKind::Switch)
        .flag("--full-scan")
        .default("false")
        .help("Look at every key, also on nodes that have none without TTL"),
    SettingDef::job("aggressive_cleanup", "KEYSWEEP_AGGRESSIVE", SettingKind::Switch)
        .alias("aggressiveCleanup")
        .flag("--aggressive")
        .other_env("AGGRESSIVE_CACHE_CLEANUP")
        .default("false")
        .help("Also remove the keys of inactive users"),
    SettingDef::job(
        "inactivity_threshold_days",
        "KEYSWEEP_INACTIVITY_DAYS",
        SettingKind::Whole { min: 1, max: 36_500 },
    )
    .alias("inactivityThresholdDays")
    .alias("inactivityThresholdDays")
    .flag("--inactivity-days")
    .other_env("CACHE_INACTIVITY_THRESHOLD_DAYS")
    .default("30")
    .help("Days without activity that make a user inactive"),
    SettingDef::job("identity", "KEYSWEEP_IDENTITY", SettingKind::Text)
        .flag("--identity")
        .help("Where the user's id stands in a key, such as permissions:{user}:*"),
    SettingDef::job("activity", "KEYSWEEP_ACTIVITY", SettingKind::Source(&["zset:", "set:", "idletime"]))
        .flag("--activity")
        .help("Who is active: zset:KEY (scores are times), set:KEY, or idletime"),
    SettingDef::job("near_expiry", "KEYSWEEP_NEAR_EXPIRY", SettingKind::seconds(0, 365 * DAY_S))
        .flag("--near-expiry")
        .default("5m")
        .help("Keys of inactive users that expire so soon are left to do so"),
    SettingDef::job("allow_no_active", "KEYSWEEP_ALLOW_NO_ACTIVE", SettingKind::Switch)
        .flag("--allow-no-active")
        .default("false")
        .help("Remove keys of inactive users even if no key of an active one is met"),
    SettingDef::job("hit_rate", "KEYSWEEP_HIT_RATE", SettingKind::Source(&["redis", "hash:", "prometheus:"]))
        .flag("--hit-rate")
        .default("redis")
        .help("Where hits and misses are counted: redis, hash:KEY, or prometheus:URL"),
    SettingDef::job("hits_query", "KEYSWEEP_HITS_QUERY", SettingKind::Text)
        .help("Prometheus query of the application's hits, a counter"),
    SettingDef::job("misses_query", "KEYSWEEP_MISSES_QUERY", SettingKind::Text)
        .help("Prometheus query of the application's misses, a counter"),
    SettingDef::job("errors_query", "KEYSWEEP_ERRORS_QUERY", SettingKind::Text)
        .help("Prometheus query of the application's errors, a counter"),
    SettingDef::job("generate_report", "KEYSWEEP_GENERATE_REPORT", SettingKind::Switch)
        .alias("generateReport")
        .default("true")
        .help("Write a report of each run, as HTML and Markdown"),
    SettingDef::job("report_dir", "KEYSWEEP_REPORT_DIR", SettingKind::Path)
        .flag("--report-dir")
        .derived("reports in --state-dir")
        .help("Directory for the reports of runs"),
    SettingDef::job("state_dir", "KEYSWEEP_STATE_DIR", SettingKind::Path)
        .flag("--state-dir")
        .derived("keysweep in $XDG_STATE_HOME, or in ~/.local/state")
        .help("Directory for the history of runs without NATS; `none` keeps none"),
    SettingDef::job("backup", "KEYSWEEP_BACKUP", SettingKind::Place)
        .flag("--backup")
        .help("Save each key there before it is deleted: a directory, or nats://BUCKET"),
    SettingDef::job(
        "backup_value_max",
        "KEYSWEEP_BACKUP_VALUE_MAX",
        SettingKind::Bytes { min: 1_024, max: 256 * MIB },
    )
    .flag("--backup-value-max")
    .default(BACKUP_VALUE_MAX)
    .help("With --backup, keys that take more bytes are left alone"),
    SettingDef::job("sample_every", "KEYSWEEP_SAMPLE_EVERY", SettingKind::seconds(1, DAY_S))
        .default("1h")
        .help("How often serve takes a sample of the cache between runs"),
    SettingDef::job("webhooks", "KEYSWEEP_WEBHOOKS", SettingKind::SecretUrls)
        .help("URLs that alerts are posted to, as JSON"),
    SettingDef::job("webhook_secret", "KEYSWEEP_WEBHOOK_SECRET", SettingKind::Secret)
        .help("Secret that signs what is posted to webhooks"),
    SettingDef::job("webhook_secret_file", "KEYSWEEP_WEBHOOK_SECRET_FILE", SettingKind::Path)
        .help("File that holds that secret"),
    SettingDef::job("slack_webhooks", "KEYSWEEP_SLACK_WEBHOOKS", SettingKind::SecretUrls)
        .help("Slack-compatible URLs that alerts are posted to"),
    SettingDef::job(
        "scan_batch_size",
        "KEYSWEEP_SCAN_BATCH_SIZE",
        SettingKind::Whole { min: 1, max: 10_000 },
    )
    .alias("scanBatchSize")
    .flag("--scan-batch-size")
    .default("100")
    .help("Keys to ask for per SCAN call"),
    SettingDef::job(
        "delete_batch_size",
        "KEYSWEEP_DELETE_BATCH_SIZE",
        SettingKind::Whole { min: 1, max: 1_000 },
    )
    .flag("--delete-batch-size")
    .default("100")
    .help("Keys per deletion call"),
    SettingDef::job("latency_budget", "KEYSWEEP_LATENCY_BUDGET", LATENCY_BUDGETS)
        .flag("--latency-budget")
        .default(LATENCY_BUDGET)
        .help("How much the p99 of the application's requests may grow"),
    SettingDef::job("rate_limit", "KEYSWEEP_RATE_LIMIT", SettingKind::Whole { min: 1, max: 1_000_000_000 })
        .flag("--rate-limit")
        .help("Keys that the whole run may read in a second"),
    SettingDef::job("max_speed", "KEYSWEEP_MAX_SPEED", SettingKind::Switch)
        .flag("--max-speed")
        .default("false")
        .help("Go as fast as the servers can, without a latency budget"),
    SettingDef::job("read_from", "KEYSWEEP_READ_FROM", SettingKind::Choice(&["primary", "replica"]))
        .flag("--read-from")
        .default("primary")
        .help("Whom to ask for keys and TTLs: primary or replica"),
    SettingDef::job("replica_lag", "KEYSWEEP_REPLICA_LAG", SettingKind::seconds(0, 3_600))
        .default(REPLICA_LAG)
        .help("How far behind a replica may be; beyond it, its primary is asked"),
    SettingDef::job(
        "max_delete_percent",
        "KEYSWEEP_MAX_DELETE_PERCENT",
        SettingKind::Whole { min: 0, max: 100 },
    )
    .flag("--max-delete-percent")
    .default("50")
    .help("Refuse to delete more than this share of the matching keys"),
    SettingDef::job("max_runtime", "KEYSWEEP_MAX_RUNTIME", SettingKind::seconds(1, 30 * DAY_S))
        .flag("--max-runtime")
        .help("End the run after this time, which counts from the start of its planning"),
    SettingDef::job("lock_wait", "KEYSWEEP_LOCK_WAIT", SettingKind::seconds(0, DAY_S))
        .flag("--lock-wait")
        .default("0s")
        .help("How long to wait for another run of the job to end"),
    SettingDef::job("allow_override", "KEYSWEEP_ALLOW_OVERRIDE", SettingKind::Fields(OVERRIDES))
        .help("Fields of requests over HTTP and NATS that may ask for more than the job"),
    SettingDef::job("attempts", "KEYSWEEP_ATTEMPTS", SettingKind::Whole { min: 1, max: 10 })
        .flag("--attempts")
        .default("2")
        .help("How often a run is tried before it counts as failed"),
    SettingDef::job("retry_backoff", "KEYSWEEP_RETRY_BACKOFF", SettingKind::seconds(0, DAY_S))
        .default("30s")
        .help("How long to wait before a run is tried again"),
    SettingDef::job("catch_up", "KEYSWEEP_CATCH_UP", SettingKind::Switch)
        .default("false")
        .help("Make up for a run that was due while nobody was there"),
    SettingDef::job("schedule", "KEYSWEEP_SCHEDULE", SettingKind::Text)
        .other_env("PERMISSION_CACHE_CLEANUP_CRON")
        .default("0 */6 * * *")
        .help("Cron schedule"),
    SettingDef::job("timezone", "KEYSWEEP_TIMEZONE", SettingKind::Text)
        .default("UTC")
        .help("Time zone of the schedule"),
    SettingDef::job("configured_ttl", "KEYSWEEP_CONFIGURED_TTL", SettingKind::seconds(1, 3_650 * DAY_S))
        .default("15m")
        .help("TTL that the application sets; recommendations use it"),
    SettingDef::serve("serve.api_token", "KEYSWEEP_API_TOKEN", SettingKind::Secret)
        .help("Token that programs give to use the HTTP API"),
    SettingDef::serve("serve.api_token_file", "KEYSWEEP_API_TOKEN_FILE", SettingKind::Path)
        .flag("--api-token-file")
        .help("File that holds the token of the HTTP API"),
    SettingDef::nats("nats.url", "KEYSWEEP_NATS", SettingKind::NatsUrls)
        .flag("--nats")
        .other_env("NATS_URL")
        .derived("the context's, or none: all in one process")
        .help("NATS server; may be repeated"),
    SettingDef::nats("nats.context", "KEYSWEEP_NATS_CONTEXT", SettingKind::Context)
        .flag("--nats-context")
        .other_env("NATS_CONTEXT")
        .help("Context of the nats CLI to connect with"),
    SettingDef::nats("nats.creds", "KEYSWEEP_NATS_CREDS", SettingKind::Path)
        .flag("--nats-creds")
        .other_env("NATS_CREDS")
        .help("NATS credentials file"),
    SettingDef::nats("nats.nkey", "KEYSWEEP_NATS_NKEY", SettingKind::Path)
        .flag("--nats-nkey")
        .other_env("NATS_NKEY")
        .help("File that holds an nkey seed"),
    SettingDef::nats("nats.user", "KEYSWEEP_NATS_USER", SettingKind::Text)
        .flag("--nats-user")
        .other_env("NATS_USER")
        .help("NATS user name"),
    SettingDef::nats("nats.password", "KEYSWEEP_NATS_PASSWORD", SettingKind::Secret)
        .other_env("NATS_PASSWORD")
        .help("NATS password"),
    SettingDef::nats("nats.password_file", "KEYSWEEP_NATS_PASSWORD_FILE", SettingKind::Path)
        .flag("--nats-password-file")
        .help("File that holds the NATS password"),
    SettingDef::nats("nats.token", "KEYSWEEP_NATS_TOKEN", SettingKind::Secret)
        .other_env("NATS_TOKEN")
        .help("NATS token"),
    SettingDef::nats("nats.token_file", "KEYSWEEP_NATS_TOKEN_FILE", SettingKind::Path)
        .flag("--nats-token-file")
        .help("File that holds the NATS token"),
    SettingDef::nats("nats.ca", "KEYSWEEP_NATS_CA", SettingKind::Path)
        .flag("--nats-ca")
        .other_env("NATS_CA")
        .derived("the system's")
        .help("Certificates to trust, in PEM"),
    SettingDef::nats("nats.cert", "KEYSWEEP_NATS_CERT", SettingKind::Path)
        .flag("--nats-cert")
        .other_env("NATS_CERT")
        .help("Client certificate, in PEM"),
    SettingDef::nats("nats.key", "KEYSWEEP_NATS_KEY", SettingKind::Path)
        .flag("--nats-key")
        .other_env("NATS_KEY")
        .help("Private key of the client certificate, in PEM"),
    SettingDef::nats("nats.prefix", "KEYSWEEP_NATS_PREFIX", SettingKind::Name)
        .flag("--nats-prefix")
        .default("keysweep")
        .help("Start of the names of subjects, streams and buckets"),
    SettingDef::nats("nats.domain", "KEYSWEEP_NATS_DOMAIN", SettingKind::Name)
        .flag("--nats-domain")
        .help("JetStream domain"),
    SettingDef::nats("nats.signing_key_file", "KEYSWEEP_NATS_SIGNING_KEY_FILE", SettingKind::Path)
        .help("File with the key that signs runs, tasks and cancels; keysweep nats keys makes one"),
    SettingDef::nats("nats.trusted_keys", "KEYSWEEP_NATS_TRUSTED_KEYS", SettingKind::PublicKeys)
        .help("Public keys whose signatures are accepted; without any, nothing has to be signed"),
    SettingDef::nats("nats.replicas", "KEYSWEEP_NATS_REPLICAS", SettingKind::Whole { min: 1, max: 5 })
        .default("1")
        .help("Servers that keep a copy of each stream"),
    SettingDef::nats("nats.storage", "KEYSWEEP_NATS_STORAGE", SettingKind::Choice(&["file", "memory"]))
        .default("file")
        .help("Where the server keeps the streams: file or memory"),
    SettingDef::nats("nats.ack_wait", "KEYSWEEP_NATS_ACK_WAIT", SettingKind::seconds(1, 600))
        .default("30s")
        .help("Time after which work that nobody confirmed is given out again"),
    SettingDef::nats("nats.lease", "KEYSWEEP_NATS_LEASE", SettingKind::seconds(1, 600))
        .default("15s")
        .help("Time after which a process that is silent counts as gone"),
    SettingDef::nats("nats.retention", "KEYSWEEP_NATS_RETENTION", SettingKind::seconds(DAY_S, 365 * DAY_S))
        .default("7d")
        .help("How long records of runs are kept"),
    SettingDef::nats(
        "nats.history_runs",
        "KEYSWEEP_NATS_HISTORY_RUNS",
        SettingKind::Whole { min: 1, max: 100_000 },
    )
    .default("1000")
    .help("How many finished runs are remembered"),
    SettingDef::nats(
        "nats.audit_bytes",
        "KEYSWEEP_NATS_AUDIT_BYTES",
        SettingKind::Bytes { min: MIB, max: TIB },
    )
    .default("1073741824")
    .help("Most bytes of the audit stream"),
    SettingDef::nats(
        "nats.queue_bytes",
        "KEYSWEEP_NATS_QUEUE_BYTES",
        SettingKind::Bytes { min: QUEUE_BYTES_MIN as u64, max: TIB },
    )
    .default("268435456")
    .help("Most bytes of each work queue"),
];

/// The row of a setting by its name: the key in the job file, or `nats.` and the key.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static SettingDef> {
    SETTINGS.iter().find(|spec| spec.name == name)
}

/// The row of a setting by its key in one sort of table of the job file.
pub(super) fn by_key(section: Section, key: &str) -> Option<&'static SettingDef> {
    SETTINGS.iter().find(|spec| spec.section == section && spec.key() == key)
}

/// The row of a setting by its flag, dashes included.
#[must_use]
pub fn by_flag(flag: &str) -> Option<&'static SettingDef> {
    SETTINGS.iter().find(|spec| spec.flag == Some(flag))
}
