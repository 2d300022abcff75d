//! One redis-server process that cannot outlive us. Sentinel and TLS are absent.

use std::path::Path;

use super::host::{Bus, arguments, free_ports, fresh_dir};
use super::keeper::{Keeper, NotReady, PORT_ATTEMPTS_MAX, READY_POLL};
use super::{ServersError, binary, older};
use crate::cluster::{Access, Conn, FaultKind};

/// A running redis-server. Dropping it kills the server, waits until it is gone and removes its files.
pub struct Server {
    keeper: Keeper,
    port: u16,
    bus_port: Option<u16>,
}

impl Server {
    /// Starts a standalone server with `extra_args` after ours, so that they win; returns when it answers
    /// (an answer that asks for a password counts).
    pub async fn start(extra_args: &[&str]) -> Result<Self, ServersError> {
        Self::start_as(extra_args, false).await
    }

    /// Starts a server in cluster mode, which is a member of no cluster yet.
    pub(super) async fn start_cluster_node(extra_args: &[&str]) -> Result<Self, ServersError> {
        Self::start_as(extra_args, true).await
    }

    async fn start_as(extra_args: &[&str], in_cluster: bool) -> Result<Self, ServersError> {
        let binary = binary::redis_server()?;
        for _ in 0..PORT_ATTEMPTS_MAX {
            let server = Self::spawn(&binary, extra_args, in_cluster)?;
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(why) if why.port_taken => {}
                Err(why) => return Err(server.keeper.not_ready(&server.url(), &why)),
            }
        }
        Err(ServersError::Unusable(format!(
            "every port for redis-server was taken by others, {PORT_ATTEMPTS_MAX} times in a row"
        )))
    }

    fn spawn(binary: &Path, extra_args: &[&str], in_cluster: bool) -> Result<Self, ServersError> {
        let older = older::is_older(binary);
        let ports = if older { older::ports() } else { None };
        let [port, other] = match ports {
            Some(ports) => ports,
            None => free_ports().map_err(ServersError::system("look for free ports on 127.0.0.1"))?,
        };
        let bus_port = in_cluster.then_some(other);
        let bus = match bus_port {
            None => Bus::None,
            Some(_) if older => Bus::Untold,
            Some(bus_port) => Bus::Port(bus_port),
        };
        let dir = fresh_dir()?;
        let mut args = arguments(&dir, port, bus);
        if older {
            args.extend(older::known_args(extra_args));
        } else {
            args.extend(extra_args.iter().map(|&arg| arg.to_owned()));
        }
        Ok(Self { keeper: Keeper::start(dir, binary, &args)?, port, bus_port })
    }

    async fn wait_until_ready(&self) -> Result<(), NotReady> {
        loop {
            let ready = self.keeper.present_log().contains("Ready to accept connections");
            if ready && self.answers().await {
                return Ok(());
            }
            self.keeper.check_starting()?;
            tokio::time::sleep(READY_POLL).await;
        }
    }

    async fn answers(&self) -> bool {
        match self.conn().await {
            Ok(_) => true,
            Err(ServersError::Redis(fault)) => fault.kind == FaultKind::Authentication,
            Err(_) => false,
        }
    }

    /// Kills the server as `kill -9` does and returns when it is gone. A second call does nothing.
    pub fn kill(&self) -> Result<(), ServersError> {
        self.keeper.signal("KILL")
    }

    /// Stops the server as it stands (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) -> Result<(), ServersError> {
        self.keeper.pause()
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), ServersError> {
        self.keeper.signal("CONT")
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.keeper.pid()
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

    /// A new connection to it, without a password.
    pub async fn conn(&self) -> Result<Conn, ServersError> {
        let url = self.url();
        Ok(Access::open(vec![url.clone()]).connect_seed(&url, "keysweep-servers").await?)
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.keeper.log_tail()
    }
}
