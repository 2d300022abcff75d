//! The one table of settings. A row gives a setting's name in the job file, its flag, its variables,
//! its default, its bounds and its help; the command line, the job file, `config show` and every
//! error message are made from it.

use super::spec::{Kind, Spec};

const DAY_S: u64 = 86_400;

/// Every setting, in the order in which `config show` lists them.
pub const SETTINGS: &[Spec] = &[
    Spec::job("name", "KEYSWEEP_JOB", Kind::Name)
        .flag("--job")
        .default("permission-cache-cleanup")
        .help("The job to take, if the job file has several"),
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
        .help("Redis server or cluster seed; may be repeated"),
    Spec::redis("username", "KEYSWEEP_USER", Kind::Text).flag("--user").help("Redis user name"),
    Spec::redis("password", "KEYSWEEP_PASSWORD", Kind::Secret)
        .other_env("REDISCLI_AUTH")
        .help("Redis password"),
    Spec::redis("password_file", "KEYSWEEP_PASSWORD_FILE", Kind::Path)
        .flag("--password-file")
        .help("File that holds the Redis password"),
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
    Spec::job("dryRun", "KEYSWEEP_DRY_RUN", Kind::Switch)
        .flag("--dry-run")
        .default("false")
        .help("Report only; send no write command at all"),
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
    Spec::job("generateReport", "KEYSWEEP_GENERATE_REPORT", Kind::Switch)
        .default("true")
        .help("Collect metrics and recommendations"),
    Spec::job("scanBatchSize", "KEYSWEEP_SCAN_BATCH_SIZE", Kind::Whole { min: 1, max: 10_000 })
        .flag("--scan-batch-size")
        .default("100")
        .help("Keys to ask for per SCAN call"),
    Spec::job("deleteBatchSize", "KEYSWEEP_DELETE_BATCH_SIZE", Kind::Whole { min: 1, max: 1_000 })
        .flag("--delete-batch-size")
        .default("100")
        .help("Keys per deletion call"),
    Spec::job("maxDeletePercent", "KEYSWEEP_MAX_DELETE_PERCENT", Kind::Whole { min: 0, max: 100 })
        .flag("--max-delete-percent")
        .default("50")
        .help("Refuse to delete more than this share of the matching keys"),
    Spec::job("maxRuntime", "KEYSWEEP_MAX_RUNTIME", Kind::seconds(1, 30 * DAY_S))
        .flag("--max-runtime")
        .help("Cancel the run after this time"),
    Spec::job("lockWait", "KEYSWEEP_LOCK_WAIT", Kind::seconds(0, DAY_S))
        .flag("--lock-wait")
        .default("0s")
        .help("How long to wait for another run of the job to end"),
    Spec::job("schedule", "KEYSWEEP_SCHEDULE", Kind::Text)
        .other_env("PERMISSION_CACHE_CLEANUP_CRON")
        .default("0 */6 * * *")
        .help("Cron schedule"),
    Spec::job("timezone", "KEYSWEEP_TIMEZONE", Kind::Text).default("UTC").help("Time zone of the schedule"),
    Spec::job("configured_ttl", "KEYSWEEP_CONFIGURED_TTL", Kind::seconds(1, 3_650 * DAY_S))
        .default("15m")
        .help("TTL that the application sets; recommendations use it"),
];

/// Keys of `[[job]]` that are known and not used yet.
pub(super) const LATER_JOB_KEYS: &[&str] = &["identity", "activity"];
/// Keys of `[nats]`, which is read by shape and not used yet.
pub(super) const NATS_KEYS: &[&str] = &["context", "url"];

/// The row of a setting by its name in the job file.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.name == name)
}

/// The row of a setting by its flag, dashes included.
#[must_use]
pub fn by_flag(flag: &str) -> Option<&'static Spec> {
    SETTINGS.iter().find(|spec| spec.flag == Some(flag))
}
