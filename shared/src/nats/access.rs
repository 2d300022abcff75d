//! How to reach NATS, and what to keep there: settings, resolved. Secrets do not show in `Debug`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Secret;

/// The way to a NATS deployment, and the sizes of what we keep there.
#[derive(Clone, Debug)]
pub struct NatsAccess {
    /// Seeds: `nats://host:4222` or `tls://host:4222`, each possibly with a login.
    pub urls: Vec<Secret>,
    /// Who we are.
    pub login: Login,
    /// A file with the certificates that the server's is checked against; the system's own if absent.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The first word of subjects and buckets; in capitals, of streams.
    pub prefix: String,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// Copies of each stream.
    pub replicas: usize,
    /// Where streams are kept.
    pub storage: Storage,
    /// How long a delivered message is invisible to others.
    pub ack_wait: Duration,
    /// How long the records of a run are kept.
    pub keep: Duration,
    /// Finished runs that are remembered.
    pub history_runs: u64,
    /// Bytes of the audit trail; the oldest entries go first.
    pub audit_bytes: u64,
    /// Bytes of each work queue; a full one slows down those who fill it.
    pub queue_bytes: u64,
}

/// Who we are to NATS.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Nobody, or whoever the URL says.
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

/// Where streams are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory: a restart of the server loses everything.
    Memory,
}

impl NatsAccess {
    /// A server without logins, and everything as by default.
    #[must_use]
    pub fn open(url: impl Into<String>) -> Self {
        Self {
            urls: vec![Secret::new(url)],
            login: Login::Open,
            ca: None,
            identity: None,
            prefix: "keysweep".to_owned(),
            domain: None,
            replicas: 1,
            storage: Storage::File,
            ack_wait: crate::limits::ACK_WAIT,
            keep: Duration::from_secs(7 * 86_400),
            history_runs: 1_000,
            audit_bytes: 1 << 30,
            queue_bytes: 256 << 20,
        }
    }
}
