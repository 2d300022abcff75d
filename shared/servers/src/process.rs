//! A redis-server process that cannot outlive this process. Sentinel is elsewhere.

use std::ops::Deref;
use std::path::Path;

use keysweep_redis::{Conn, ConnectOptions, RedisErrorKind};

use super::managed_process::{ManagedProcess, NotReady, PORT_ATTEMPTS_MAX, READY_POLL};
use super::ports::{Bus, arguments, free_ports, fresh_dir};
use super::{ServersError, binary, redis62};

/// A running redis-server. Dropping it kills the server, waits for its end and removes its files.
pub struct Server {
    process: ManagedProcess,
    port: u16,
    bus_port: Option<u16>,
    tls_port: Option<u16>,
}

/// The variant of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Role {
    /// It runs in cluster mode.
    pub(super) in_cluster: bool,
    /// It has a second port with TLS.
    pub(super) tls: bool,
}

impl Deref for Server {
    type Target = ManagedProcess;

    fn deref(&self) -> &ManagedProcess {
        &self.process
    }
}

impl Server {
    /// Starts a standalone server; `extra_args` override the default arguments. Returns when it answers (a reply that
    /// requires a password counts).
    pub async fn start(extra_args: &[&str]) -> Result<Self, ServersError> {
        Self::start_as(extra_args, Role::default()).await
    }

    /// [`Server::start`] with a second port with TLS: `extra_args` contain the certificates. The readiness check uses
    /// the first port.
    pub async fn start_tls(extra_args: &[&str]) -> Result<Self, ServersError> {
        Self::start_as(extra_args, Role { tls: true, ..Role::default() }).await
    }

    /// Starts a server, in cluster mode without joining a cluster.
    pub(super) async fn start_as(extra_args: &[&str], role: Role) -> Result<Self, ServersError> {
        let binary = binary::redis_server()?;
        for _ in 0..PORT_ATTEMPTS_MAX {
            let server = Self::spawn(&binary, extra_args, role)?;
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(why) if why.port_taken => {}
                Err(why) => return Err(server.process.not_ready(&server.url(), &why)),
            }
        }
        Err(ServersError::Unusable(format!(
            "every port for redis-server was taken by others, {PORT_ATTEMPTS_MAX} times in a row"
        )))
    }

    fn spawn(binary: &Path, extra_args: &[&str], role: Role) -> Result<Self, ServersError> {
        let [port, bus_port, tls_port] =
            free_ports().map_err(ServersError::system("look for free ports on 127.0.0.1"))?;
        let older = redis62::is_older(binary);
        let [port, bus_port] = if older { redis62::ports() } else { None }.unwrap_or([port, bus_port]);
        let (bus_port, tls_port) = (role.in_cluster.then_some(bus_port), role.tls.then_some(tls_port));
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

    async fn wait_until_ready(&self) -> Result<(), NotReady> {
        loop {
            let ready = self.process.present_log().contains("Ready to accept connections");
            if ready && self.answers().await {
                return Ok(());
            }
            self.process.check_starting()?;
            tokio::time::sleep(READY_POLL).await;
        }
    }

    async fn answers(&self) -> bool {
        match self.conn().await {
            Ok(_) => true,
            Err(ServersError::Redis(fault)) => fault.kind == RedisErrorKind::Authentication,
            Err(_) => false,
        }
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
