//! The options of the NATS connection and of the streams: settings, resolved. Secrets do not appear in `Debug`.

use std::path::PathBuf;
use std::time::Duration;

use keysweep_config::{NatsSettings, Storage};
use keysweep_model::secret::Secret;
use keysweep_signing::{Authority, KeyError, PublicKey, SigningKey};

/// The options of a NATS connection, and the limits of the streams.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Seed addresses without logins: `nats://host:4222` or `tls://host:4222`.
    pub urls: Vec<String>,
    /// The credentials.
    pub login: NatsAuth,
    /// A file with the CA certificates that the server's certificate is checked against; the system's if absent.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The first token of subjects and buckets; in capitals, of streams.
    pub prefix: String,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// The file with the key that signs orders; only for processes that give orders.
    pub signing_key: Option<PathBuf>,
    /// Public keys whose signatures are accepted; if empty, no signature is required.
    pub trusted_keys: Vec<PublicKey>,
    /// Copies of each stream.
    pub replicas: usize,
    /// The storage type of streams.
    pub storage: Storage,
    /// How long a delivered message is invisible to others.
    pub ack_wait: Duration,
    /// How long the records of a run are kept.
    pub retention: Duration,
    /// Finished runs that are kept in the history.
    pub history_runs: u64,
    /// Bytes of the audit trail; the oldest entries are removed first.
    pub audit_bytes: u64,
    /// Bytes of each work queue. A full queue slows down its publishers.
    pub queue_bytes: u64,
}

/// The credentials for NATS.
#[derive(Clone, Debug, Default)]
pub enum NatsAuth {
    /// None.
    #[default]
    Open,
    /// A name and its password.
    Password(String, Secret),
    /// A token.
    Token(Secret),
    /// A file with a JWT and its seed.
    Creds(PathBuf),
    /// A file with the seed of an nkey.
    Nkey(PathBuf),
}

impl NatsOptions {
    /// A server without logins, and defaults for everything else.
    #[must_use]
    pub fn open(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            login: NatsAuth::Open,
            ca: None,
            identity: None,
            prefix: "keysweep".to_owned(),
            domain: None,
            signing_key: None,
            trusted_keys: Vec::new(),
            replicas: 1,
            storage: Storage::File,
            ack_wait: keysweep_storage::limits::ACK_WAIT,
            retention: Duration::from_secs(7 * 86_400),
            history_runs: 1_000,
            audit_bytes: 56 << 20,
            queue_bytes: 128 << 20,
        }
    }

    /// The same options without the signing key: workers give no orders and must not be able to.
    #[must_use]
    pub fn of_worker(self) -> Self {
        Self { signing_key: None, ..self }
    }

    /// The public keys whose orders are accepted, and the signing key. Orders signed by the own key are always
    /// accepted.
    ///
    /// # Errors
    /// When the key cannot be read, or is not among the trusted ones.
    pub(super) fn authority(&self) -> Result<Authority, KeyError> {
        let signing = self.signing_key.as_deref().map(SigningKey::read).transpose()?;
        let mut trusted = self.trusted_keys.clone();
        if let (Some(key), Some(path)) = (&signing, &self.signing_key) {
            let public = key.public();
            if !trusted.is_empty() && !trusted.contains(&public) {
                return Err(KeyError::NotTrusted { path: path.clone(), public });
            }
            trusted = if trusted.is_empty() { vec![public] } else { trusted };
        }
        Ok(Authority { prefix: self.prefix.clone(), signing, trusted })
    }

    /// The options in `settings`.
    #[must_use]
    pub fn from_settings(settings: &NatsSettings) -> Self {
        let NatsSettings { user, password, token, creds, nkey, .. } = settings.clone();
        let login = match (creds.value, nkey.value, user.value, token.value) {
            (Some(creds), ..) => NatsAuth::Creds(creds),
            (_, Some(nkey), ..) => NatsAuth::Nkey(nkey),
            (_, _, Some(user), _) => {
                NatsAuth::Password(user, password.value.unwrap_or_else(|| Secret::new("")))
            }
            (.., Some(token)) => NatsAuth::Token(token),
            _ => NatsAuth::Open,
        };
        Self {
            urls: settings.urls.value.iter().map(keysweep_config::NatsUrl::address).collect(),
            login,
            ca: settings.ca.value.clone(),
            identity: settings.cert.value.clone().zip(settings.key.value.clone()),
            prefix: settings.prefix.value.clone(),
            domain: settings.domain.value.clone(),
            signing_key: settings.signing_key_file.value.clone(),
            trusted_keys: settings.trusted_keys.value.clone(),
            replicas: usize::from(settings.replicas.value),
            storage: settings.storage.value,
            ack_wait: settings.ack_wait.value,
            retention: settings.retention.value,
            history_runs: u64::from(settings.history_runs.value),
            audit_bytes: settings.audit_bytes.value,
            queue_bytes: settings.queue_bytes.value,
        }
    }
}
