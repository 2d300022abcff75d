//! The settings of the NATS connection. There are some exactly if a flag, a variable or the job file
//! names a URL or a context of the nats CLI; otherwise everything happens in one process.
//!
//! A context counts as said by the layer that names it, just below that layer's own settings: with
//! `--nats-context` its user wins over that of the job file and loses to `--nats-user`. A URL of a
//! higher layer replaces the context altogether, which then is not read: its login was meant for
//! other servers. Key, certificate and credentials files are not opened here, since the client does.

mod context;
mod identity;
mod sources;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use self::identity::NatsIdentity;
use self::sources::Sources;
pub use self::url::NatsUrl;
use super::error::ConfigError;
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::parse;
use super::secret::Secret;
use super::tls;
use crate::signing::PublicKey;

/// Where the nats CLI connects to with a context that has no URL.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// How to reach NATS and what to make there, each value with its origin and within the bounds of
/// the table. Of `creds`, `nkey`, `user` and `token` there is at most one, and `cert` and `key` are
/// both there or both not.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    /// Servers of one cluster, at least one. The logins in them are in the fields below.
    pub urls: Setting<Vec<NatsUrl>>,
    /// The context of the nats CLI that was read.
    pub context: Setting<Option<String>>,
    /// A file with a JWT and its seed.
    pub creds: Setting<Option<PathBuf>>,
    /// A file with an nkey seed.
    pub nkey: Setting<Option<PathBuf>>,
    /// The user to log in as.
    pub user: Setting<Option<String>>,
    /// Its password; only with `user`.
    pub password: Setting<Option<Secret>>,
    /// The token to log in with.
    pub token: Setting<Option<Secret>>,
    /// Certificates to trust instead of the system's.
    pub ca: Setting<Option<PathBuf>>,
    /// The client's certificate.
    pub cert: Setting<Option<PathBuf>>,
    /// The certificate's private key.
    pub key: Setting<Option<PathBuf>>,
    /// The start of the names of subjects, streams and buckets: 1 to 64 letters, digits, `-`, `_`.
    pub prefix: Setting<String>,
    /// The JetStream domain.
    pub domain: Setting<Option<String>>,
    /// The file with the key that signs what the coordinator orders. It is not opened here: workers need not have it.
    pub signing_key_file: Setting<Option<PathBuf>>,
    /// Public keys whose signatures are accepted; without any, nothing has to be signed.
    pub trusted_keys: Setting<Vec<PublicKey>>,
    /// Copies of each stream, 1 to 5.
    pub replicas: Setting<u8>,
    /// Where streams are kept.
    pub storage: Setting<Storage>,
    /// Work that nobody confirmed for so long is given out again.
    pub ack_wait: Setting<Duration>,
    /// A process that was silent for so long counts as gone.
    pub lease: Setting<Duration>,
    /// How long records of runs are kept.
    pub retention: Setting<Duration>,
    /// How many finished runs are remembered.
    pub history_runs: Setting<u32>,
    /// The most bytes of the audit stream.
    pub audit_bytes: Setting<u64>,
    /// The most bytes of each work queue, at least 16 MiB.
    pub queue_bytes: Setting<u64>,
}

/// Where the server keeps streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    File,
    /// In memory; a restart of the server loses them.
    Memory,
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Memory => "memory",
        })
    }
}

/// Resolves the connection; `None` if no layer asks for one. Reads the context's file and the files
/// of a password or token.
pub(super) fn resolve(layers: &Layers<'_>) -> Result<Option<NatsSettings>, ConfigError> {
    let urls = layers.list("nats.url", parse::nats_url)?;
    let named = layers.one("nats.context", parse::context)?;
    let counts = |name: &Setting<String>| urls.value.is_empty() || name.origin.rank() >= urls.origin.rank();
    let named = named.filter(counts);
    if urls.value.is_empty() && named.is_none() {
        return Ok(None);
    }
    let sources = Sources::new(layers, named.as_ref())?;
    connection(layers, &sources, urls, named).map(Some)
}

fn connection(
    layers: &Layers<'_>,
    sources: &Sources<'_>,
    own_urls: Setting<Vec<NatsUrl>>,
    named: Option<Setting<String>>,
) -> Result<NatsSettings, ConfigError> {
    let url_offers = sources.urls(own_urls)?;
    let NatsIdentity { creds, nkey, user, password, token } =
        layers.tolerate(identity::identity(sources, &url_offers), NatsIdentity::none())?;
    let default_urls = || NatsUrl::parse(DEFAULT_URL).into_iter().collect();
    let (cert, key) = client_certificate(sources)?;
    Ok(NatsSettings {
        urls: sources::best(url_offers).map(|urls| urls.unwrap_or_else(default_urls)),
        context: named.map_or(Setting { value: None, origin: Origin::Default }, |name| name.map(Some)),
        creds,
        nkey,
        user,
        password,
        token,
        ca: sources::best(sources.paths("nats.ca")?),
        cert,
        key,
        prefix: layers.must("nats.prefix", parse::name)?,
        domain: sources::best(sources.offers("nats.domain", parse::name)?),
        signing_key_file: sources::best(sources.paths("nats.signing_key_file")?),
        trusted_keys: layers.list("nats.trusted_keys", parse::public_key)?,
        replicas: layers.must("nats.replicas", parse::whole)?,
        storage: layers.must("nats.storage", parse::choice)?.map(storage),
        ack_wait: layers.must("nats.ack_wait", parse::time)?,
        lease: layers.must("nats.lease", parse::time)?,
        retention: layers.must("nats.retention", parse::time)?,
        history_runs: layers.must("nats.history_runs", parse::whole)?,
        audit_bytes: layers.must("nats.audit_bytes", parse::bytes)?,
        queue_bytes: layers.must("nats.queue_bytes", parse::bytes)?,
    })
}

type File = Setting<Option<PathBuf>>;

/// Certificate and key, of which neither is of use alone.
fn client_certificate(sources: &Sources<'_>) -> Result<(File, File), ConfigError> {
    let cert = sources::best(sources.paths("nats.cert")?);
    let key = sources::best(sources.paths("nats.key")?);
    tls::together(&cert, &key, [("nats.cert", "--nats-cert"), ("nats.key", "--nats-key")])?;
    Ok((cert, key))
}

/// The table allows these two words and no others.
fn storage(word: &'static str) -> Storage {
    if word == "memory" { Storage::Memory } else { Storage::File }
}
