//! A redis-server process that cannot outlive this process. Sentinel is elsewhere.

use std::ops::Deref;
use std::path::Path;

use keysweep_redis::{Conn, ConnectOptions, RedisErrorKind};

use super::managed_process::{self, LocalServer, ManagedProcess};
use super::ports::{Bus, arguments, free_ports, fresh_dir};
use super::{ServersError, binary, redis62};

/// A running redis-server. Dropping it kills the server, waits for its end and removes its files.
pub struct Server {
    process: ManagedProcess,
    port: u16,
    bus_port: Option<u16>,
    tls_port: Option<u16>,
}

/// Whether the arguments contain a certificate: then a server has a second port with TLS.
pub(super) fn have_certificate(args: &[&str]) -> bool {
    args.contains(&"--tls-cert-file")
}

impl Deref for Server {
    type Target = ManagedProcess;

    fn deref(&self) -> &ManagedProcess {
        &self.process
    }
}

impl LocalServer for Server {
    fn process(&self) -> &ManagedProcess {
        &self.process
    }

    fn url(&self) -> String {
        self.url()
    }

    async fn answers(&self) -> bool {
        self.process.present_log().contains("Ready to accept connections") && answers(self.conn().await)
    }
}

impl Server {
    /// Starts a standalone server; `extra_args` override the default arguments. With a certificate among them, it has
    /// a second port with TLS. Returns when the first port answers (a reply that requires a password counts).
    pub async fn start(extra_args: &[&str]) -> Result<Self, ServersError> {
        Self::start_as(extra_args, false).await
    }

    /// Starts a server, in cluster mode without joining a cluster.
    pub(super) async fn start_as(extra_args: &[&str], in_cluster: bool) -> Result<Self, ServersError> {
        let binary = binary::redis_server()?;
        managed_process::start(|| Self::spawn(&binary, extra_args, in_cluster)).await
    }

    fn spawn(binary: &Path, extra_args: &[&str], in_cluster: bool) -> Result<Self, ServersError> {
        let [port, bus_port, tls_port] = free_ports()?;
        let older = redis62::is_older(binary);
        let [port, bus_port] = if older { redis62::ports() } else { None }.unwrap_or([port, bus_port]);
        let bus_port = in_cluster.then_some(bus_port);
        let tls_port = have_certificate(extra_args).then_some(tls_port);
        let bus = match bus_port {
            None => Bus::None,
            Some(_) if older => Bus::Fixed,
            Some(bus_port) => Bus::Port(bus_port),
        };
        let dir = fresh_dir()?;
        let mut args = arguments(&dir, port, bus);
        args.extend(tls_port.iter().flat_map(|port| ["--tls-port".to_owned(), port.to_string()]));
        if older {
            args.extend(redis62::known_args(extra_args));
        } else {
            args.extend(extra_args.iter().map(|&arg| arg.to_owned()));
        }
        Ok(Self { process: ManagedProcess::start(dir, binary, &args)?, port, bus_port, tls_port })
    }

    /// The port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of the cluster bus, if the server is in cluster mode.
    #[must_use]
    pub fn bus_port(&self) -> Option<u16> {
        self.bus_port
    }

    /// `redis://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The TLS port, if there is one.
    #[must_use]
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// `rediss://127.0.0.1:<port>` of the TLS port, if there is one.
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.tls_port.map(|port| format!("rediss://127.0.0.1:{port}"))
    }

    /// A new connection to it, without a password.
    pub async fn conn(&self) -> Result<Conn, ServersError> {
        let url = self.url();
        Ok(ConnectOptions::open(vec![url.clone()]).connect_dedicated(&url).await?)
    }
}

/// Whether `conn` shows that a server answers: a reply that requires a password counts.
pub fn answers(conn: Result<Conn, ServersError>) -> bool {
    match conn {
        Ok(_) => true,
        Err(ServersError::Redis(fault)) => fault.kind == RedisErrorKind::Authentication,
        Err(_) => false,
    }
}
