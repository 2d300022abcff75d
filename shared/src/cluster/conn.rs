//! One multiplexed connection to one server: commands as bytes in, replies out, faults sorted.
//! It never re-sends a command by itself: a command that timed out may have run.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline, Value};

use super::fault::{Fault, FaultKind};
use super::listing::Lister;
use crate::limits::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT};

/// How to get at a Redis deployment. `Debug` shows no secret.
#[derive(Clone)]
pub struct Access {
    /// Seed addresses, as `redis://host:port` URLs.
    pub urls: Vec<String>,
    /// User name; wins over one in a URL.
    pub username: Option<String>,
    /// Password; wins over one in a URL.
    pub password: Option<String>,
    /// Logical database (0 on a cluster).
    pub db: u32,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("seeds", &self.urls.len())
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Access without a password, for servers that we started ourselves.
    #[must_use]
    pub fn open(urls: Vec<String>) -> Self {
        Self { urls, username: None, password: None, db: 0 }
    }

    fn info(&self, url: &str) -> Result<redis::ConnectionInfo, Fault> {
        let bad = |e: redis::RedisError| {
            Fault::new(FaultKind::Refused, crate::config::redact(url), format!("not a Redis address: {e}"))
        };
        let info = url.into_connection_info().map_err(bad)?;
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

    /// Host and port of the seed `url`; empty and 0 for a socket file, or if it is no address.
    pub(super) fn host_and_port(&self, url: &str) -> (String, u16) {
        match self.info(url).as_ref().map(redis::ConnectionInfo::addr) {
            Ok(ConnectionAddr::Tcp(host, port)) => (host.clone(), *port),
            _ => (String::new(), 0),
        }
    }

    /// Connects to the seed `url`.
    pub async fn connect_seed(&self, url: &str, name: &str) -> Result<Conn, Fault> {
        Conn::connect(self.info(url)?, name).await
    }

    /// Connects to a node of the deployment, with the credentials of the first seed.
    pub async fn connect_node(&self, host: &str, port: u16, name: &str) -> Result<Conn, Fault> {
        let first = self.urls.first().map(String::as_str).unwrap_or_default();
        let info = self.info(first)?.set_addr(ConnectionAddr::Tcp(host.to_owned(), port));
        Conn::connect(info, name).await
    }
}

/// The address of a connection as `host:port`.
fn address_of(info: &redis::ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("{host}:{port}"),
        other => other.to_string(),
    }
}

/// A connection to one server. Clones share it; requests of several clones are sent one behind the other
/// without waiting for each other's answers.
#[derive(Clone)]
pub struct Conn {
    address: String,
    connection: MultiplexedConnection,
    /// How it was made.
    origin: Arc<(redis::ConnectionInfo, String)>,
}

impl Conn {
    async fn connect(info: redis::ConnectionInfo, name: &str) -> Result<Self, Fault> {
        let address = address_of(&info);
        let fault = |e: redis::RedisError| {
            let mut fault = Fault::from_redis(&address, &e);
            if fault.kind == FaultKind::Lost {
                fault.kind = FaultKind::Unreachable;
            }
            fault
        };
        let origin = Arc::new((info.clone(), name.to_owned()));
        let client = Client::open(info).map_err(fault)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(fault)?;
        let conn = Self { address, connection, origin };
        conn.introduce(name).await?;
        Ok(conn)
    }

    /// Names the connection. Servers or users that do not allow it work as well, so a refusal is ignored.
    ///
    /// `CLIENT NO-TOUCH` must not be sent: Redis 8.0.2 and 8.0.6 and Valkey 8.1.1 then crash at the next look at a key
    /// in a slot that is being moved (redis/redis#14415, valkey-io/valkey#2347). PTTL, PEXPIRETIME, OBJECT IDLETIME,
    /// MEMORY USAGE and listings leave idle times alone without it.
    async fn introduce(&self, name: &str) -> Result<(), Fault> {
        let mut pipe = Batch::new();
        pipe.add(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        pipe.add(&[b"PING"]);
        let replies = self.batch(pipe).await?;
        match replies.last() {
            Some(Value::ServerError(e)) => {
                let fault = Fault::from_server(&self.address, e);
                let tolerable = matches!(fault.kind, FaultKind::Forbidden | FaultKind::NotWritable);
                if tolerable { Ok(()) } else { Err(fault) }
            }
            Some(Value::SimpleString(_)) => Ok(()),
            _ => Err(Fault::unexpected(&self.address, "PING")),
        }
    }

    /// Another connection to the same server, for listings.
    pub async fn lister(&self) -> Result<Lister, Fault> {
        let (info, name) = &*self.origin;
        Lister::connect(info, &self.address, name).await
    }

    /// Another connection to the same server that nobody else uses: for what is of one connection, such as watches.
    pub async fn anew(&self) -> Result<Self, Fault> {
        let (info, name) = &*self.origin;
        Self::connect(info.clone(), name).await
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends one command. An error answered by the server is a [`Fault`].
    pub async fn command(&self, args: &[&[u8]]) -> Result<Value, Fault> {
        self.command_within(args, RESPONSE_TIMEOUT).await
    }

    /// [`Conn::command`] with another time limit for the answer.
    pub async fn command_within(&self, args: &[&[u8]], limit: Duration) -> Result<Value, Fault> {
        let mut connection = self.connection.clone();
        connection.set_response_timeout(limit);
        let cmd = packed(args);
        let reply = connection.send_packed_command(&cmd).await;
        reply.and_then(Value::extract_error).map_err(|e| Fault::from_redis(&self.address, &e))
    }

    /// Sends one command given as words separated by blanks.
    pub async fn words(&self, command: &str) -> Result<Value, Fault> {
        let args: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        self.command(&args).await
    }

    /// Sends a batch in one write and returns one reply per command; a command that failed answers
    /// [`Value::ServerError`] in its place.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<Value>, Fault> {
        let count = batch.0.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut connection = self.connection.clone();
        let replies = connection.send_packed_commands(&batch.0, 0, count).await;
        let replies = replies.map_err(|e| Fault::from_redis(&self.address, &e))?;
        if replies.len() == count { Ok(replies) } else { Err(Fault::unexpected(&self.address, "a pipeline")) }
    }

    /// The fault that `reply` is, if it is one.
    #[must_use]
    pub fn fault(&self, reply: &Value) -> Option<Fault> {
        match reply {
            Value::ServerError(e) => Some(Fault::from_server(&self.address, e)),
            _ => None,
        }
    }
}

/// Commands that travel in one write.
pub struct Batch(Pipeline);

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self(Pipeline::new())
    }

    /// Adds one command.
    pub fn add(&mut self, args: &[&[u8]]) {
        self.0.add_command(packed(args));
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn packed(args: &[&[u8]]) -> Cmd {
    let bytes = args.iter().map(|a| a.len()).sum();
    let mut cmd = Cmd::with_capacity(args.len(), bytes);
    for arg in args {
        cmd.arg(*arg);
    }
    cmd
}
