//! The settings of the NATS connection and of the streams there: `[nats]`.

use std::path::PathBuf;
use std::time::Duration;

use keysweep_model::secret::Secret;
use keysweep_signing::PublicKey;

use super::settings;
use crate::display::DisplayRow;
use crate::error::ConfigError;
use crate::group::Group;
use crate::layers::Layers;
use crate::limits::QUEUE_BYTES_MIN;
use crate::nats::{self, NatsIdentity, NatsUrl, Sources, Storage};
use crate::origin::Setting;
use crate::setting_def::SettingDef;
use crate::setting_kind::SettingKind;
use crate::value::ReadSetting;

const DAY_S: u64 = 86_400;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// What the settings of a connection are resolved from.
pub(crate) struct NatsSources<'a> {
    pub(crate) layers: Layers<'a>,
    /// The layers with the context of the nats CLI.
    pub(crate) sources: Sources<'a>,
    pub(crate) urls: Setting<Vec<NatsUrl>>,
    pub(crate) context: Setting<Option<String>>,
    pub(crate) identity: NatsIdentity,
}

settings! {
    /// How to connect to NATS and what to create there, each value with its origin and within the bounds of the table.
    /// The URLs are of one cluster, at least one; logins in them are in the fields. At most one of `creds`, `nkey`,
    /// `user` and `token` is set. There is `cert` if and only if there is `key`.
    NatsSettings from NatsSources, rows ROWS, and {}

    Nats {
        /// NATS server; repeatable
        urls: Vec<NatsUrl>, by nats::urls => SettingDef::nats("nats.url", "KEYSWEEP_NATS", SettingKind::NatsUrls)
            .flag("--nats").other_env("NATS_URL").derived("the context's, or none (one process)");
        /// Context of the nats CLI
        context: Option<String>, by nats::context_name =>
            SettingDef::nats("nats.context", "KEYSWEEP_NATS_CONTEXT", SettingKind::Context)
            .flag("--nats-context").other_env("NATS_CONTEXT");
        /// NATS credentials file
        creds: Option<PathBuf>, by nats::creds => SettingDef::nats("nats.creds", "KEYSWEEP_NATS_CREDS", SettingKind::Path)
            .flag("--nats-creds").other_env("NATS_CREDS");
        /// File with an nkey seed
        nkey: Option<PathBuf>, by nats::nkey => SettingDef::nats("nats.nkey", "KEYSWEEP_NATS_NKEY", SettingKind::Path)
            .flag("--nats-nkey").other_env("NATS_NKEY");
        /// NATS user name
        user: Option<String>, by nats::user => SettingDef::nats("nats.user", "KEYSWEEP_NATS_USER", SettingKind::Text)
            .flag("--nats-user").other_env("NATS_USER");
        /// NATS password
        password: Option<Secret>, by nats::password =>
            SettingDef::nats("nats.password", "KEYSWEEP_NATS_PASSWORD", SettingKind::Secret).other_env("NATS_PASSWORD");
        /// File with the NATS password
        password_file: Option<PathBuf> =>
            SettingDef::nats("nats.password_file", "KEYSWEEP_NATS_PASSWORD_FILE", SettingKind::Path)
            .flag("--nats-password-file").secret_file();
        /// NATS token
        token: Option<Secret>, by nats::token =>
            SettingDef::nats("nats.token", "KEYSWEEP_NATS_TOKEN", SettingKind::Secret).other_env("NATS_TOKEN");
        /// File with the NATS token
        token_file: Option<PathBuf> =>
            SettingDef::nats("nats.token_file", "KEYSWEEP_NATS_TOKEN_FILE", SettingKind::Path)
            .flag("--nats-token-file").secret_file();
        /// PEM file with the certificates to trust
        ca: Option<PathBuf>, by nats::ca => SettingDef::nats("nats.ca", "KEYSWEEP_NATS_CA", SettingKind::Path)
            .flag("--nats-ca").other_env("NATS_CA").derived("the system's");
        /// PEM file with the client certificate
        cert: Option<PathBuf>, by nats::cert => SettingDef::nats("nats.cert", "KEYSWEEP_NATS_CERT", SettingKind::Path)
            .flag("--nats-cert").other_env("NATS_CERT");
        /// PEM file with the private key of the client certificate
        key: Option<PathBuf>, by nats::key => SettingDef::nats("nats.key", "KEYSWEEP_NATS_KEY", SettingKind::Path)
            .flag("--nats-key").other_env("NATS_KEY");
        /// First word of the names of subjects, streams and buckets
        prefix: String => SettingDef::nats("nats.prefix", "KEYSWEEP_NATS_PREFIX", SettingKind::Name)
            .flag("--nats-prefix").default("keysweep");
        /// JetStream domain
        domain: Option<String>, by nats::domain =>
            SettingDef::nats("nats.domain", "KEYSWEEP_NATS_DOMAIN", SettingKind::Name).flag("--nats-domain");
        /// File with the key that signs runs, tasks and cancels; `keysweep nats keys` generates one
        signing_key_file: Option<PathBuf> =>
            SettingDef::nats("nats.signing_key_file", "KEYSWEEP_NATS_SIGNING_KEY_FILE", SettingKind::Path);
        /// Public keys whose signatures are accepted; without any, signatures are not required
        trusted_keys: Vec<PublicKey> =>
            SettingDef::nats("nats.trusted_keys", "KEYSWEEP_NATS_TRUSTED_KEYS", SettingKind::PublicKeys);
        /// Servers that keep a copy of each stream
        replicas: u8 => SettingDef::nats("nats.replicas", "KEYSWEEP_NATS_REPLICAS", SettingKind::Whole { min: 1, max: 5 })
            .default("1");
        /// How the server stores the streams: `file` or `memory`
        storage: Storage => SettingDef::nats(
                "nats.storage", "KEYSWEEP_NATS_STORAGE", SettingKind::Choice(&["file", "memory"]))
            .default("file");
        /// Ack deadline: unacknowledged work is redelivered after this time
        ack_wait: Duration => SettingDef::nats("nats.ack_wait", "KEYSWEEP_NATS_ACK_WAIT", SettingKind::seconds(1, 600))
            .default("30s");
        /// Time after which a silent coordinator is replaced
        lease: Duration => SettingDef::nats("nats.lease", "KEYSWEEP_NATS_LEASE", SettingKind::seconds(1, 600))
            .default("15s");
        /// How long records of runs are kept
        retention: Duration => SettingDef::nats(
                "nats.retention", "KEYSWEEP_NATS_RETENTION", SettingKind::seconds(DAY_S, 365 * DAY_S))
            .default("7d");
        /// How many finished runs are remembered
        history_runs: u32 => SettingDef::nats(
                "nats.history_runs", "KEYSWEEP_NATS_HISTORY_RUNS", SettingKind::Whole { min: 1, max: 100_000 })
            .default("1000");
        /// Maximum bytes of the audit stream
        audit_bytes: u64 => SettingDef::nats(
                "nats.audit_bytes", "KEYSWEEP_NATS_AUDIT_BYTES", SettingKind::Bytes { min: MIB, max: TIB })
            .default("58720256");
        /// Maximum bytes of the queue of reap batches; the queue of scan tasks has a further eighth of that. The server reserves them. 10
        /// MiB hold the batches of one scan task, of which two are in flight per node
        queue_bytes: u64 => SettingDef::nats("nats.queue_bytes", "KEYSWEEP_NATS_QUEUE_BYTES",
                SettingKind::Bytes { min: QUEUE_BYTES_MIN as u64, max: TIB })
            .default("134217728");
    }
}

impl NatsSettings {
    pub(super) fn rows(&self) -> Vec<DisplayRow> {
        self.own_rows()
    }
}
