//! The flags that settle a job.

use clap::Args;
use shared::config::FlagLayer;

use super::{ConnectionArgs, REDIS, SAFETY, SELECTION, about};

const ACTION: &str = "Action";
const PACE: &str = "Pace";
const REPORT: &str = "Metrics and reports";

/// Flags that settle a job: where Redis is, which keys, what happens to them.
#[derive(Args, Default)]
#[expect(missing_docs, reason = "each field is a flag of the settings table, which documents it")]
pub struct JobArgs {
    #[command(flatten)]
    pub place: ConnectionArgs,
    #[arg(long, value_name = "N", help = about("--db"), help_heading = REDIS)]
    pub db: Option<String>,
    #[arg(long, value_name = "NAME", help = about("--job"), help_heading = SELECTION)]
    pub job: Option<String>,
    #[arg(long, value_name = "GLOB", help = about("--pattern"), help_heading = SELECTION)]
    pub pattern: Vec<String>,
    #[arg(long, value_name = "GLOB", help = about("--protect"), help_heading = SELECTION)]
    pub protect: Vec<String>,
    #[arg(long, help = about("--full-scan"), help_heading = SELECTION)]
    pub full_scan: bool,
    #[arg(long, help = about("--aggressive"), help_heading = SELECTION)]
    pub aggressive: bool,
    #[arg(long, value_name = "N", help = about("--inactivity-days"), help_heading = SELECTION)]
    pub inactivity_days: Option<String>,
    #[arg(long, value_name = "TEMPLATE", help = about("--identity"), help_heading = SELECTION)]
    pub identity: Option<String>,
    #[arg(long, value_name = "SOURCE", help = about("--activity"), help_heading = SELECTION)]
    pub activity: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--near-expiry"), help_heading = SELECTION)]
    pub near_expiry: Option<String>,
    #[arg(long, help = about("--allow-no-active"), help_heading = SELECTION)]
    pub allow_no_active: bool,
    #[arg(long, value_name = "SOURCE", help = about("--hit-rate"), help_heading = REPORT)]
    pub hit_rate: Option<String>,
    #[arg(long, value_name = "DIR", help = about("--report-dir"), help_heading = REPORT)]
    pub report_dir: Option<String>,
    #[arg(long, value_name = "DIR", help = about("--state-dir"), help_heading = REPORT)]
    pub state_dir: Option<String>,
    #[arg(long, value_name = "ACTION", help = about("--action"), help_heading = ACTION)]
    pub action: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--expire-ttl"), help_heading = ACTION)]
    pub expire_ttl: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--jitter"), help_heading = ACTION)]
    pub jitter: Option<String>,
    #[arg(long, help = about("--dry-run"), help_heading = SAFETY)]
    pub dry_run: bool,
    #[arg(long, value_name = "PLACE", help = about("--backup"), help_heading = SAFETY)]
    pub backup: Option<String>,
    #[arg(long, value_name = "BYTES", help = about("--backup-value-max"), help_heading = SAFETY)]
    pub backup_value_max: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--grace"), help_heading = SAFETY)]
    pub grace: Option<String>,
    #[arg(long, value_name = "WHAT", help = about("--verify"), help_heading = SAFETY)]
    pub verify: Option<String>,
    #[arg(long, value_name = "N", help = about("--max-delete-percent"), help_heading = SAFETY)]
    pub max_delete_percent: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--max-runtime"), help_heading = SAFETY)]
    pub max_runtime: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--lock-wait"), help_heading = SAFETY)]
    pub lock_wait: Option<String>,
    #[arg(long, value_name = "N", help = about("--attempts"), help_heading = SAFETY)]
    pub attempts: Option<String>,
    #[arg(long, value_name = "DURATION", help = about("--latency-budget"), help_heading = PACE)]
    pub latency_budget: Option<String>,
    #[arg(long, value_name = "KEYS_PER_SECOND", help = about("--rate-limit"), help_heading = PACE)]
    pub rate_limit: Option<String>,
    #[arg(long, help = about("--max-speed"), help_heading = PACE)]
    pub max_speed: bool,
    #[arg(long, value_name = "WHOM", help = about("--read-from"), help_heading = PACE)]
    pub read_from: Option<String>,
    #[arg(long, value_name = "N", help = about("--scan-batch-size"), help_heading = PACE)]
    pub scan_batch_size: Option<String>,
    #[arg(long, value_name = "N", help = about("--delete-batch-size"), help_heading = PACE)]
    pub delete_batch_size: Option<String>,
}

impl JobArgs {
    /// What was given, for [`shared::config::resolve`].
    #[must_use]
    pub fn flags(&self) -> FlagLayer {
        let mut layer = FlagLayer::default();
        layer
            .value("--db", self.db.as_deref())
            .value("--job", self.job.as_deref())
            .values("--pattern", &self.pattern)
            .values("--protect", &self.protect)
            .switch("--aggressive", self.aggressive)
            .value("--inactivity-days", self.inactivity_days.as_deref())
            .value("--identity", self.identity.as_deref())
            .value("--activity", self.activity.as_deref())
            .value("--near-expiry", self.near_expiry.as_deref())
            .switch("--allow-no-active", self.allow_no_active)
            .value("--hit-rate", self.hit_rate.as_deref())
            .value("--report-dir", self.report_dir.as_deref())
            .value("--state-dir", self.state_dir.as_deref())
            .value("--action", self.action.as_deref())
            .value("--expire-ttl", self.expire_ttl.as_deref())
            .value("--jitter", self.jitter.as_deref())
            .switch("--dry-run", self.dry_run)
            .switch("--full-scan", self.full_scan)
            .value("--backup", self.backup.as_deref())
            .value("--backup-value-max", self.backup_value_max.as_deref())
            .value("--grace", self.grace.as_deref())
            .value("--verify", self.verify.as_deref())
            .value("--max-delete-percent", self.max_delete_percent.as_deref())
            .value("--max-runtime", self.max_runtime.as_deref())
            .value("--lock-wait", self.lock_wait.as_deref())
            .value("--attempts", self.attempts.as_deref())
            .value("--latency-budget", self.latency_budget.as_deref())
            .value("--rate-limit", self.rate_limit.as_deref())
            .switch("--max-speed", self.max_speed)
            .value("--read-from", self.read_from.as_deref())
            .value("--scan-batch-size", self.scan_batch_size.as_deref())
            .value("--delete-batch-size", self.delete_batch_size.as_deref());
        self.place.add_to(&mut layer);
        layer
    }
}
