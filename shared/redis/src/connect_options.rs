//! How to connect to a deployment: addresses, login and connection settings.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::address_map::{AddressMapping, reachable};
use keysweep_model::redact::redact;
use keysweep_model::sentinel_url::SentinelUrl;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::conn::Conn;
use super::connections::{self, ConnectionUse};
use super::error::{RedisError, RedisErrorKind};
use super::sentinel;
use super::socket::{Dial, Network, Tls};
use crate::limits::HOST_BYTES_MAX;

/// How to connect to a Redis deployment. `Debug` shows no secret.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Seed addresses, as `redis://host:port` URLs; `rediss://` with TLS.
    pub urls: Vec<String>,
    /// User name; takes precedence over one in a URL.
    pub username: Option<String>,
    /// Password; takes precedence over one in a URL.
    pub password: Option<String>,
    /// Logical database. Most clusters have only 0.
    pub db: u32,
    /// TLS settings for every node; `None` without TLS.
    pub tls: Option<Tls>,
    /// The login for Sentinels.
    pub sentinels: RedisLogin,
    /// Address map: where to reach servers that announce other addresses.
    pub address_map: Vec<AddressMapping>,
    /// How the servers are reached.
    pub network: Network,
}

/// A user and a password. No `Debug`, because of the password.
#[derive(Clone, Default)]
pub struct RedisLogin {
    /// The user; the default user if absent.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("seeds", &self.urls.len())
            .field("db", &self.db)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl ConnectOptions {
    /// Options without a password, for servers that we started ourselves.
    #[must_use]
    pub fn open(urls: Vec<String>) -> Self {
        Self {
            urls,
            username: None,
            password: None,
            db: 0,
            tls: None,
            sentinels: RedisLogin::default(),
            address_map: Vec::new(),
            network: Network::default(),
        }
    }

    /// Whether connections are encrypted, but server certificates are not verified (`--insecure`).
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.verifies())
    }

    /// This process's connection to the seed `url`; for a Sentinel URL, to the current primary.
    pub(super) async fn connect_seed(&self, url: &str, to: ConnectionUse) -> Result<Conn, RedisError> {
        let Some(sentinels) = SentinelUrl::parse(url) else {
            return connect(self.dial_to(self.info(url)?), Some(to)).await;
        };
        let (host, port) = sentinel::primary(self, &sentinels).await?;
        let info = self.info(&sentinels.at(&host, port))?;
        let soon = |fault| sentinel::soon(&sentinels, fault);
        let conn = connect(self.dial(info, host, port)?, Some(to)).await.map_err(soon)?;
        sentinel::check(&conn, &sentinels).await?;
        Ok(conn)
    }

    /// Host and port of the seed `url`; empty and 0 for a socket file, for Sentinels, or for an invalid address.
    pub(super) fn host_and_port(&self, url: &str) -> (String, u16) {
        match self.info(url).as_ref().map(ConnectionInfo::addr) {
            Ok(ConnectionAddr::Tcp(host, port)) => (host.clone(), *port),
            _ => (String::new(), 0),
        }
    }

    /// A dedicated connection to the seed `url`, outside the connection limit of the process: for servers that we
    /// started ourselves, and for their tests.
    pub async fn connect_dedicated(&self, url: &str) -> Result<Conn, RedisError> {
        connect(self.dial_to(self.info(url)?), None).await
    }

    /// The same to a node of the deployment.
    pub async fn connect_node_dedicated(&self, host: &str, port: u16) -> Result<Conn, RedisError> {
        connect(self.node(host, port)?, None).await
    }

    /// This process's connection to a node of the deployment, with the credentials of the first seed.
    pub(super) async fn connect_node(
        &self,
        host: &str,
        port: u16,
        to: ConnectionUse,
    ) -> Result<Conn, RedisError> {
        connect(self.node(host, port)?, Some(to)).await
    }

    fn node(&self, host: &str, port: u16) -> Result<Dial, RedisError> {
        let first = self.urls.first().map(String::as_str).unwrap_or_default();
        let first = SentinelUrl::parse(first).map_or_else(|| first.to_owned(), |url| url.at(host, port));
        self.dial(self.info(&first)?, host.to_owned(), port)
    }

    /// Connects to a Sentinel, with the Sentinels' own login.
    pub(super) async fn connect_sentinel(&self, host: &str, port: u16) -> Result<Conn, RedisError> {
        let RedisLogin { username, password } = self.sentinels.clone();
        let login = Self { username, password, db: 0, ..self.clone() };
        check_host(host, port)?;
        let info = login.info("redis://sentinel")?.set_addr(ConnectionAddr::Tcp(host.to_owned(), port));
        connect(login.dial_to(info), Some(ConnectionUse::Commands)).await
    }

    /// Whether Sentinels name the server, so that it may be another one next time.
    pub(super) fn uses_sentinels(&self) -> bool {
        self.urls.iter().any(|url| SentinelUrl::parse(url).is_some())
    }

    /// The connection settings for a server that announces itself as `host` and `port`.
    ///
    /// # Errors
    /// When `host` is not a valid host name.
    fn dial(&self, info: ConnectionInfo, host: String, port: u16) -> Result<Dial, RedisError> {
        check_host(&host, port)?;
        let there = reachable(&self.address_map, &host, port);
        let announced = format!("{host}:{port}");
        let (host, port) = there.clone().unwrap_or((host, port));
        let dial = self.dial_to(info.set_addr(ConnectionAddr::Tcp(host, port)));
        Ok(if there.is_some() { dial.announced_as(announced) } else { dial })
    }

    fn dial_to(&self, info: ConnectionInfo) -> Dial {
        Dial::new(info, self.tls.clone(), self.network.clone())
    }

    fn info(&self, url: &str) -> Result<ConnectionInfo, RedisError> {
        let bad = |e: redis::RedisError| {
            RedisError::new(RedisErrorKind::CommandError, redact(url), format!("not a Redis address: {e}"))
        };
        // The client library opens no sockets here, and does not need the TLS settings.
        let info = without_tls(url).as_str().into_connection_info().map_err(bad)?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &self.username {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let settings = settings.set_db(i64::from(self.db)).set_skip_set_lib_name();
        Ok(info.set_redis_settings(settings))
    }
}

/// Servers and Sentinels name other servers. An invalid host name is refused, because it would get into logs and
/// records.
fn check_host(host: &str, port: u16) -> Result<(), RedisError> {
    if (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let detail = "not a valid host name; check what the servers announce (`cluster-announce-ip`, \
                  `cluster-announce-hostname`, `replica-announce-ip`), or say where they are with `--address-map`";
    Err(RedisError::new(RedisErrorKind::Protocol, format!("{host}:{port}"), detail))
}

/// Boxed, because the state of a connect is large and would enlarge the future of every caller.
fn connect(dial: Dial, to: Option<ConnectionUse>) -> BoxFuture<'static, Result<Conn, RedisError>> {
    connections::connect(dial, to).boxed()
}

/// The address with the scheme without TLS.
fn without_tls(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("rediss") => format!("redis://{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("valkeys") => format!("valkey://{rest}"),
        _ => url.to_owned(),
    }
}
