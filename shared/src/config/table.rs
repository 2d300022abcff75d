//! The one table of settings. A row gives a setting's name in the job file, its flag, its variables,
//! its default, its bounds and its help; the command line, the job file, `config show` and every
//! error message are made from it.

use super::spec::{Kind, Section, Spec};
use crate::limits::{BACKUP_VALUE_MAX, LATENCY_BUDGET, QUEUE_BYTES_MIN, REPLICA_LAG};
use std::time::Duration;

const DAY_S: u64 = 86_400;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// Below a millisecond, the network alone differs by more from one second to the next.
const LATENCY_BUDGETS: Kind = Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(10) };

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
pub const SETTINGS: &[Spec] = &[
    Spec::job("name", "KEYSWEEP_JOB", Kind::Name)
        .flag("--job")
        .default("permission-cache-cleanup")
        .help("The job to take, if the job file has several; without jobs in a file, any name for this one"),
    Spec::job("display_name", "KEYSWEEP_DISPLAY_NAME", Kind::Text)
        .derived("the job's name in PascalCase")
        .help("The name in log lines"),
    Spec::job("redis", "KEYSWEEP_REDIS_ALIAS", Kind::Name)
        .derived("main, or the only [redis.<alias>] of the file")
        .help("The alias of the Redis deployment to clean"),
    Spec::redis("urls", "KEYSWEEP_REDIS", Kind::Urls)
        .flag("--redis")
        .other_env("REDIS_URL")
        .default("redis://127.0.0.1:6379")
        .help("Redis server, cluster seed or Sentinels; may be repeated"),
    Spec::redis("username", "KEYSWEEP_USER", Kind::Text).flag("--user").help("Redis user name"),
    Spec::redis("password", "KEYSWEEP_PASSWORD", Kind::Secret)
        .other_env("REDISCLI_AUTH")
        .help("Redis password"),
    Spec::redis("password_file", "KEYSWEEP_PASSWORD_FILE", Kind::Path)
        .flag("--password-file")
        .help("File that holds the Redis password"),
    Spec::redis("sentinel_user", "KEYSWEEP_SENTINEL_USER", Kind::Text)
        .flag("--sentinel-user")
        .help("User name at the Sentinels"),
    Spec::redis("sentinel_password", "KEYSWEEP_SENTINEL_PASSWORD", Kind::Secret)
        .help("Password at the Sentinels"),
    Spec::redis("sentinel_password_file", "KEYSWEEP_SENTINEL_PASSWORD_FILE", Kind::Path)
        .flag("--sentinel-password-file")
        .help("File that holds the password at the Sentinels"),
    Spec::redis("nat", "KEYSWEEP_NAT", Kind::Addresses).flag("--nat").help(
        "Where a server is reached that announces another address: announced=reachable; may be repeated",
    ),
    Spec::redis("cacert", "KEYSWEEP_CACERT", Kind::Path)
        .flag("--cacert")
        .derived("the system's")
        .help("Certificates of authorities to trust with rediss://, in PEM"),
    Spec::redis("cert", "KEYSWEEP_CERT", Kind::Path)
        .flag("--cert")
        .help("Client certificate for rediss://, in PEM"),
    Spec::redis("key", "KEYSWEEP_KEY", Kind::Path)
        .flag("--key")
        .help("Private key of the client certificate, in PEM"),
    Spec::redis("sni", "KEYSWEEP_SNI", Kind::Text)
        .flag("--sni")
        .derived("the host")
        .help("Name that the servers' certificates hold"),
    Spec::redis("insecure", "KEYSWEEP_INSECURE", Kind::Switch)
        .flag("--insecure")
        .default("false")
        .help("Take any certificate: encrypted, but nobody knows with whom"),
    Spec::job("db", "KEYSWEEP_DB", Kind::Whole { min: 0, max: 65_535 })
        .flag("--db")
        .default("0")
        .help("Database number"),
    Spec::job("patterns", "KEYSWEEP_PATTERN", Kind::Patterns)
        .flag("--pattern")
        .default("permissions:*")
        .help("Keys to clean; may be repeated"),
    Spec::job("protect", "KEYSWEEP_PROTECT", Kind::Patterns)
        .flag("--protect")
        .help("Keys never to touch, whatever else matches; may be repeated"),
    Spec::job("action", "KEYSWEEP_ACTION", Kind::Choice(&["delete", "expire", "report"]))
        .flag("--action")
        .default("delete")
        .help("What to do with stale keys: delete, expire or report"),
    Spec::job("expireTtl", "KEYSWEEP_EXPIRE_TTL", Kind::seconds(1, 3_650 * DAY_S))
        .flag("--expire-ttl")
        .derived("configured_ttl, or 15m")
        .help("TTL that the action expire gives"),
    Spec::job("jitter", "KEYSWEEP_JITTER", Kind::seconds(0, 365 * DAY_S))
        .flag("--jitter")
        .derived("a tenth of --expire-ttl")
        .help("Random time of up to this much, added to each such TTL"),
    Spec::job("grace", "KEYSWEEP_GRACE", Kind::seconds(0, 300))
        .flag("--grace")
        .default("1s")
        .help("Least time between the two looks at a stale key"),
    Spec::job("verify", "KEYSWEEP_VERIFY", Kind::Choice(&["ttl", "value"]))
        .flag("--verify")
        .default("ttl")
        .help("What must be the same at both looks for a key to be deleted: ttl, or value as well"),
    Spec::job("dryRun", "KEYSWEEP_DRY_RUN", Kind::Switch)
        .flag("--dry-run")
        .default("false")
        .help("Report only; send no write command at all"),
    Spec::job("everyKey", "KEYSWEEP_EVERY_KEY", Kind::Switch)
        .flag("--every-key")
        .default("false")
        .help("Look at every key, also on nodes that have none without TTL"),
    Spec::job("aggressiveCleanup", "KEYSWEEP_AGGRESSIVE", Kind::Switch)
        .flag("--aggressive")
        .other_env("AGGRESSIVE_CACHE_CLEANUP")
        .default("false")
        .help("Also remove the keys of inactive users"),
    Spec::job("inactivityThresholdDays", "KEYSWEEP_INACTIVITY_DAYS", Kind::Whole { min: 1, max: 36_500 })
        .flag("--inactivity-days")
        .other_env("CACHE_INACTIVITY_THRESHOLD_DAYS")
        .default("30")
        .help("Days without activity that make a user inactive"),
    Spec::job("identity", "KEYSWEEP_IDENTITY", Kind::Text)
        .flag("--identity")
        .help("Where the user's id stands in a key, such as permissions:{user}:*"),
    Spec::job("activity", "KEYSWEEP_ACTIVITY", Kind::Source(&["zset:", "set:", "idletime"]))
        .flag("--activity")
        .help("Who is active: zset:KEY (scores are times), set:KEY, or idletime"),
    Spec::job("nearExpiry", "KEYSWEEP_NEAR_EXPIRY", Kind::seconds(0, 365 * DAY_S))
        .flag("--near-expiry")
        .default("5m")
        .help("Keys of inactive users that expire so soon are left to do so"),
    Spec::job("allowNoActive", "KEYSWEEP_ALLOW_NO_ACTIVE", Kind::Switch)
        .flag("--allow-no-active")
        .default("false")
        .help("Remove keys of inactive users even if no key of an active one is met"),
    Spec::job("hitRate", "KEYSWEEP_HIT_RATE", Kind::Source(&["redis", "hash:", "prometheus:"]))
        .flag("--hit-rate")
        .default("redis")
        .help("Where hits and misses are counted: redis, hash:KEY, or prometheus:URL"),
    Spec::job("hitsQuery", "KEYSWEEP_HITS_QUERY", Kind::Text)
        .help("Prometheus query of the application's hits, a counter"),
    Spec::job("missesQuery", "KEYSWEEP_MISSES_QUERY", Kind::Text)
        .help("Prometheus query of the application's misses, a counter"),
    Spec::job("errorsQuery", "KEYSWEEP_ERRORS_QUERY", Kind::Text)
        .help("Prometheus query of the application's errors, a counter"),
    Spec::job("generateReport", "KEYSWEEP_GENERATE_REPORT", Kind::Switch)
        .default("true")
        .help("Write a report of each run, as HTML and Markdown"),
    Spec::job("reportDir", "KEYSWEEP_REPORT_DIR", Kind::Path)
        .flag("--report-dir")
        .derived("reports in --state-dir")
        .help("Directory for the reports of runs"),
    Spec::job("stateDir", "KEYSWEEP_STATE_DIR", Kind::Path)
        .flag("--state-dir")
        .derived("keysweep in $XDG_STATE_HOME, or in ~/.local/state")
        .help("Directory for the history of runs without NATS; `none` keeps none"),
    Spec::job("backup", "KEYSWEEP_BACKUP", Kind::Place)
        .flag("--backup")
        .help("Save each key there before it is deleted: a directory, or nats://BUCKET"),
    Spec::job("backupValueMax", "KEYSWEEP_BACKUP_VALUE_MAX", Kind::Bytes { min: 1_024, max: 256 * MIB })
        .flag("--backup-value-max")
        .default(BACKUP_VALUE_MAX)
        .help("With --backup, keys that take more bytes are left alone"),
    Spec::job("sampleEvery", "KEYSWEEP_SAMPLE_EVERY", Kind::seconds(1, DAY_S))
        .default("1h")
        .help("How often serve takes a sample of the cache between runs"),
    Spec::job("webhooks", "KEYSWEEP_WEBHOOKS", Kind::SecretUrls)
        .help("URLs that alerts are posted to, as JSON"),
    Spec::job("webhookSecret", "KEYSWEEP_WEBHOOK_SECRET", Kind::Secret)
        .help("Secret that signs what is posted to webhooks"),
    Spec::job("webhookSecretFile", "KEYSWEEP_WEBHOOK_SECRET_FILE", Kind::Path)
        .help("File that holds that secret"),
    Spec::job("slackWebhooks", "KEYSWEEP_SLACK_WEBHOOKS", Kind::SecretUrls)
        .help("Slack-compatible URLs that alerts are posted to"),
    Spec::job("scanBatchSize", "KEYSWEEP_SCAN_BATCH_SIZE", Kind::Whole { min: 1, max: 10_000 })
        .flag("--scan-batch-size")
        .default("100")
        .help("Keys to ask for per SCAN call"),
    Spec::job("deleteBatchSize", "KEYSWEEP_DELETE_BATCH_SIZE", Kind::Whole { min: 1, max: 1_000 })
        .flag("--delete-batch-size")
        .default("100")
        .help("Keys per deletion call"),
    Spec::job("latencyBudget", "KEYSWEEP_LATENCY_BUDGET", LATENCY_BUDGETS)
        .flag("--latency-budget")
        .default(LATENCY_BUDGET)
        .help("How much the p99 of the application's requests may grow"),
    Spec::job("rateLimit", "KEYSWEEP_RATE_LIMIT", Kind::Whole { min: 1, max: 1_000_000_000 })
        .flag("--rate-limit")
        .help("Keys that the whole run may read in a second"),
    Spec::job("maxSpeed", "KEYSWEEP_MAX_SPEED", Kind::Switch)
        .flag("--max-speed")
        .default("false")
        .help("Go as fast as the servers can, without a latency budget"),
    Spec::job("readFrom", "KEYSWEEP_READ_FROM", Kind::Choice(&["primary", "replica"]))
        .flag("--read-from")
        .default("primary")
        .help("Whom to ask for keys and TTLs: primary or replica"),
    Spec::job("replicaLag", "KEYSWEEP_REPLICA_LAG", Kind::seconds(0, 3_600))
        .default(REPLICA_LAG)
        .help("How far behind a replica may be; beyond it, its primary is asked"),
    Spec::job("maxDeletePercent", "KEYSWEEP_MAX_DELETE_PERCENT", Kind::Whole { min: 0, max: 100 })
        .flag("--max-delete-percent")
        .default("50")
        .help("Refuse to delete more than this share of the matching keys"),
    Spec::job("maxRuntime", "KEYSWEEP_MAX_RUNTIME", Kind::seconds(1, 30 * DAY_S))
        .flag("--max-runtime")
        .help("End the run after this time, which counts from the start of its planning"),
    Spec::job("lockWait", "KEYSWEEP_LOCK_WAIT", Kind::seconds(0, DAY_S))
        .flag("--lock-wait")
        .default("0s")
        .help("How long to wait for another run of the job to end"),
    Spec::job("allow_override", "KEYSWEEP_ALLOW_OVERRIDE", Kind::Fields(OVERRIDES))
        .help("Fields of requests over HTTP and NATS that may ask for more than the job"),
    Spec::job("attempts", "KEYSWEEP_ATTEMPTS", Kind::Whole { min: 1, max: 10 })
        .flag("--attempts")
        .default("2")
        .help("How often a run is tried before it counts as failed"),
    Spec::job("retryBackoff", "KEYSWEEP_RETRY_BACKOFF", Kind::seconds(0, DAY_S))
        .default("30s")
        .help("How long to wait before a run is tried again"),
    Spec::job("catchUp", "KEYSWEEP_CATCH_UP", Kind::Switch)
        .default("false")
        .help("Make up for a run that was due while nobody was there"),
    Spec::job("schedule", "KEYSWEEP_SCHEDULE", Kind::Text)
        .other_env("PERMISSION_CACHE_CLEANUP_CRON")
        .default("0 */6 * * *")
        .help("Cron schedule"),
    Spec::job("timezone", "KEYSWEEP_TIMEZONE", Kind::Text).default("UTC").help("Time zone of the schedule"),
    Spec::job("configured_ttl", "KEYSWEEP_CONFIGURED_TTL", Kind::seconds(1, 3_650 * DAY_S))
        .default("15m")
        .help("TTL that the application sets; recommendations use it"),
    Spec::serve("serve.api_token", "KEYSWEEP_API_TOKEN", Kind::Secret)
        .help("Token that programs give to use the HTTP API"),
    Spec::serve("serve.api_token_file", "KEYSWEEP_API_TOKEN_FILE", Kind::Path)
        .flag("--api-token-file")
        .help("File that holds the token of the HTTP API"),
    Spec::nats("nats.url", "KEYSWEEP_NATS", Kind::NatsUrls)
        .flag("--nats")
        .other_env("NATS_URL")
        .derived("the context's, or none: all in one process")
        .help("NATS server; may be repeated"),
    Spec::nats("nats.context", "KEYSWEEP_NATS_CONTEXT", Kind::Context)
        .flag("--nats-context")
        .other_env("NATS_CONTEXT")
        .help("Context of the nats CLI to connect with"),
    Spec::nats("nats.creds", "KEYSWEEP_NATS_CREDS", Kind::Path)
        .flag("--nats-creds")
        .other_env("NATS_CREDS")
        .help("NATS credentials file"),
    Spec::nats("nats.nkey", "KEYSWEEP_NATS_NKEY", Kind::Path)
        .flag("--nats-nkey")
        .other_env("NATS_NKEY")
        .help("File that holds an nkey seed"),
    Spec::nats("nats.user", "KEYSWEEP_NATS_USER", Kind::Text)
        .flag("--nats-user")
        .other_env("NATS_USER")
        .help("NATS user name"),
    Spec::nats("nats.password", "KEYSWEEP_NATS_PASSWORD", Kind::Secret)
        .other_env("NATS_PASSWORD")
        .help("NATS password"),
    Spec::nats("nats.password_file", "KEYSWEEP_NATS_PASSWORD_FILE", Kind::Path)
        .flag("--nats-password-file")
        .help("File that holds the NATS password"),
    Spec::nats("nats.token", "KEYSWEEP_NATS_TOKEN", Kind::Secret).other_env("NATS_TOKEN").help("NATS token"),
    Spec::nats("nats.token_file", "KEYSWEEP_NATS_TOKEN_FILE", Kind::Path)
        .flag("--nats-token-file")
        .help("File that holds the NATS token"),
    Spec::nats("nats.ca", "KEYSWEEP_NATS_CA", Kind::Path)
        .flag("--nats-ca")
        .other_env("NATS_CA")
        .derived("the system's")
        .help("Certificates to trust, in PEM"),
    Spec::nats("nats.cert", "KEYSWEEP_NATS_CERT", Kind::Path)
        .flag("--nats-cert")
        .other_env("NATS_CERT")
        .help("Client certificate, in PEM"),
    Spec::nats("nats.key", "KEYSWEEP_NATS_KEY", Kind::Path)
        .flag("--nats-key")
        .other_env("NATS_KEY")
        .help("Private key of the client certificate, in PEM"),
    Spec::nats("nats.prefix", "KEYSWEEP_NATS_PREFIX", Kind::Name)
        .flag("--nats-prefix")
        .default("keysweep")
        .help("Start of the names of subjects, streams and buckets"),
    Spec::nats("nats.domain", "KEYSWEEP_NATS_DOMAIN", Kind::Name)
        .flag("--nats-domain")
        .help("JetStream domain"),
    Spec::nats("nats.signing_key_file", "KEYSWEEP_NATS_SIGNING_KEY_FILE", Kind::Path)
        .help("File with the key that signs runs, tasks and cancels; keysweep nats keys makes one"),
    Spec::nats("nats.trusted_keys", "KEYSWEEP_NATS_TRUSTED_KEYS", Kind::PublicKeys)
        .help("Public keys whose signatures are accepted; without any, nothing has to be signed"),
    Spec::nats("nats.replicas", "KEYSWEEP_NATS_REPLICAS", Kind::Whole { min: 1, max: 5 })
        .default("1")
        .help("Servers that keep a copy of each stream"),
    Spec::nats("nats.storage", "KEYSWEEP_NATS_STORAGE", Kind::Choice(&["file", "memory"]))
        .default("file")
        .help("Where the server keeps the streams: file or memory"),
    Spec::nats("nats.ack_wait", "KEYSWEEP_NATS_ACK_WAIT", Kind::seconds(1, 600))
        .default("30s")
        .help("Time after which work that nobody confirmed is given out again"),
    Spec::nats("nats.lease", "KEYSWEEP_NATS_LEASE", Kind::seconds(1, 600))
        .default("15s")
        .help("Time after which a process that is silent counts as gone"),
    Spec::nats("nats.keep", "KEYSWEEP_NATS_KEEP", Kind::seconds(DAY_S, 365 * DAY_S))
        .default("7d")
        .help("How long records of runs are kept"),
    Spec::nats("nats.history_runs", "KEYSWEEP_NATS_HISTORY_RUNS", Kind::Whole { min: 1, max: 100_000 })
        .default("1000")
        .help("How many finished runs are remembered"),
    Spec::nats("nats.audit_bytes", "KEYSWEEP_NATS_AUDIT_BYTES", Kind::Bytes { min: MIB, max: TIB })
        .default("1073741824")
        .help("Most bytes of the audit stream"),
    Spec::nats(
        "nats.queue_bytes",
        "KEYSWEEP_NATS_QUEUE_BYTES",
        Kind::Bytes { min: QUEUE_BYTES_MIN as u64, max: TIB },
    )
    .default("268435456")
    .help("Most bytes of each work queue"),
];

/// The row of a setting by its name: the key in the job file, or `nats.` and the key.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.name == name)
}

/// The row of a setting by its key in one sort of table of the job file.
pub(super) fn by_key(section: Section, key: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.section == section && spec.key() == key)
}

/// The row of a setting by its flag, dashes included.
#[must_use]
pub fn by_flag(flag: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.flag == Some(flag))
}
