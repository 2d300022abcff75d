//! The settings for people: one row each, as `config show` prints them, without secrets.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::duration;
use super::nats::{NatsSettings, Storage};
use super::origin::Setting;
use super::secret::{MASK, Secret};
use super::settings::{ActivitySetting, BackupPlace, ConfiguredAction, Settings};
use crate::ids::Alias;

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DisplayRow {
    /// The setting's name in the table.
    pub name: &'static str,
    /// Its value, without secrets.
    pub value: String,
    /// Who gave it.
    pub origin: String,
}

impl Settings {
    /// All settings in the table's order, for people; those of NATS only if there are any.
    /// `password_file` shows as the origin of `password`.
    #[must_use]
    pub fn rows(&self) -> Vec<DisplayRow> {
        let mut rows = vec![
            row("name", &self.job, Clone::clone),
            row("display_name", &self.display_name, Clone::clone),
            row("redis", &self.alias, Alias::to_string),
            row("urls", &self.redis.urls, |urls| joined(urls)),
            row("username", &self.redis.username, text),
            row("password", &self.redis.password, secret),
            row("sentinel_user", &self.redis.sentinel_user, text),
            row("sentinel_password", &self.redis.sentinel_password, secret),
            row("address_map", &self.redis.address_map, |entries| joined(entries)),
            row("cacert", &self.redis.tls.cacert, path),
            row("cert", &self.redis.tls.cert, path),
            row("key", &self.redis.tls.key, path),
            row("sni", &self.redis.tls.sni, text),
            row("insecure", &self.redis.tls.insecure, bool::to_string),
            row("db", &self.db, u32::to_string),
            row("patterns", &self.patterns, |patterns| joined(patterns)),
            row("protect", &self.protect, |patterns| joined(patterns)),
            row("action", &self.action, ConfiguredAction::to_string),
            row("expire_ttl", &self.expire_ttl, time),
            row("jitter", &self.jitter, time),
            row("grace", &self.grace, time),
            row("verify", &self.verify, |verify| verify.as_str().to_owned()),
            row("dry_run", &self.dry_run, bool::to_string),
            row("full_scan", &self.full_scan, bool::to_string),
            row("aggressive_cleanup", &self.aggressive_cleanup, bool::to_string),
            row("inactivity_threshold_days", &self.inactivity_threshold_days, u32::to_string),
            row("identity", &self.identity, text),
            row("activity", &self.activity, |source| or_none(source.as_ref(), ActivitySetting::to_string)),
            row("near_expiry", &self.near_expiry, time),
            row("allow_no_active", &self.allow_no_active, bool::to_string),
            row("hit_rate", &self.hit_rate, ActivitySetting::to_string),
            row("hits_query", &self.queries.hits, text),
            row("misses_query", &self.queries.misses, text),
            row("errors_query", &self.queries.errors, text),
            row("generate_report", &self.generate_report, bool::to_string),
            row("report_dir", &self.report_dir, path),
            row("state_dir", &self.state_dir, path),
            row("backup", &self.backup, |place| or_none(place.as_ref(), BackupPlace::to_string)),
            row("backup_value_max", &self.backup_value_max, u64::to_string),
            row("sample_every", &self.sample_every, time),
            row("webhooks", &self.webhooks, |urls| masked(urls)),
            row("webhook_secret", &self.webhook_secret, secret),
            row("slack_webhooks", &self.slack_webhooks, |urls| masked(urls)),
            row("scan_batch_size", &self.scan_batch_size, u32::to_string),
            row("delete_batch_size", &self.delete_batch_size, u32::to_string),
            row("latency_budget", &self.latency_budget, |budget| or_none(budget.as_ref(), time)),
            row("rate_limit", &self.rate_limit, |limit| or_none(limit.as_ref(), u64::to_string)),
            row("max_speed", &self.max_speed, bool::to_string),
            row("read_from", &self.reads_replicas, |replicas| read_from(*replicas)),
            row("replica_lag", &self.replica_lag, time),
            row("max_delete_percent", &self.max_delete_percent, u8::to_string),
            row("max_runtime", &self.max_runtime, |most| or_none(most.as_ref(), time)),
            row("lock_wait", &self.lock_wait, time),
            row("allow_override", &self.allow_override, |fields| joined(fields)),
            row("attempts", &self.attempts, u32::to_string),
            row("retry_backoff", &self.retry_backoff, time),
            row("catch_up", &self.catch_up, bool::to_string),
            row("schedule", &self.schedule, Clone::clone),
            row("timezone", &self.timezone, Clone::clone),
            row("configured_ttl", &self.configured_ttl, time),
            row("serve.api_token", &self.api_token, |token| or_none(token.as_ref(), |_| MASK.to_owned())),
        ];
        rows.extend(self.nats.iter().flat_map(NatsSettings::rows));
        rows
    }
}

impl NatsSettings {
    fn rows(&self) -> Vec<DisplayRow> {
        vec![
            row("nats.url", &self.urls, |urls| joined(urls)),
            row("nats.context", &self.context, text),
            row("nats.creds", &self.creds, path),
            row("nats.nkey", &self.nkey, path),
            row("nats.user", &self.user, text),
            row("nats.password", &self.password, secret),
            row("nats.token", &self.token, secret),
            row("nats.ca", &self.ca, path),
            row("nats.cert", &self.cert, path),
            row("nats.key", &self.key, path),
            row("nats.prefix", &self.prefix, Clone::clone),
            row("nats.domain", &self.domain, text),
            row("nats.signing_key_file", &self.signing_key_file, path),
            row("nats.trusted_keys", &self.trusted_keys, |keys| joined(keys)),
            row("nats.replicas", &self.replicas, u8::to_string),
            row("nats.storage", &self.storage, Storage::to_string),
            row("nats.ack_wait", &self.ack_wait, time),
            row("nats.lease", &self.lease, time),
            row("nats.retention", &self.retention, time),
            row("nats.history_runs", &self.history_runs, u32::to_string),
            row("nats.audit_bytes", &self.audit_bytes, u64::to_string),
            row("nats.queue_bytes", &self.queue_bytes, u64::to_string),
        ]
    }
}

fn row<T>(name: &'static str, setting: &Setting<T>, show: impl Fn(&T) -> String) -> DisplayRow {
    DisplayRow { name, value: show(&setting.value), origin: setting.origin.to_string() }
}

fn time(value: &Duration) -> String {
    duration::show(*value)
}

fn read_from(replicas: bool) -> String {
    if replicas { "replica" } else { "primary" }.to_owned()
}

fn or_none<T>(value: Option<&T>, show: impl Fn(&T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), show)
}

fn text(value: &Option<String>) -> String {
    or_none(value.as_ref(), Clone::clone)
}

fn secret(value: &Option<Secret>) -> String {
    or_none(value.as_ref(), |_| MASK.to_owned())
}

fn path(value: &Option<PathBuf>) -> String {
    or_none(value.as_ref(), |path| path.display().to_string())
}

fn masked(secrets: &[Secret]) -> String {
    joined(&vec![MASK; secrets.len()])
}

fn joined<T: fmt::Display>(values: &[T]) -> String {
    let shown: Vec<String> = values.iter().map(T::to_string).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}
