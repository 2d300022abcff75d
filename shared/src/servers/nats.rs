//! One nats-server process with JetStream that cannot outlive us. Clusters of them are absent, and so is any
//! NATS client: that the server is ready is seen from the line with which it greets.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use crate::files::Folder;

use super::managed_process::{ManagedProcess, NotReady, PORT_ATTEMPTS_MAX, READY_POLL};
use super::ports::{fresh_dir, lasting_port};
use super::{ServersError, binary};

/// How long one attempt to be greeted may take.
const GREETING_LIMIT: Duration = Duration::from_secs(1);
/// How long to wait for a port that someone else holds, before a restart tries to bind it once more.
const PORT_PAUSE: Duration = Duration::from_millis(250);
/// What streams may set aside together. Where it is not said, the server allows three quarters of the free disk, so
/// that a machine with little of it refuses streams, however little is put into them.
const STORE: &str = "jetstream { max_file_store: 1TB }";

/// A running nats-server with JetStream. Dropping it kills the server, waits until it is gone and removes
/// its files.
pub struct NatsServer {
    keeper: ManagedProcess,
    /// The server's name for itself, which nobody else's server has.
    name: String,
    port: u16,
}

impl NatsServer {
    /// Starts a server whose config file holds `config` (it may be empty); returns when it greets clients.
    /// Address, port, name and store directory are given as arguments, which win over `config`. Monitoring is
    /// off, streams may set aside 1 TB and writes are synced as the server does it by default, unless `config` says
    /// otherwise.
    ///
    /// # Errors
    /// [`ServersError::MissingBinary`] and [`ServersError::WrongBinary`]; [`ServersError::NotReady`] for a
    /// `config` that the server refuses.
    pub async fn start(config: &str) -> Result<Self, ServersError> {
        let binary = binary::nats_server()?;
        for _ in 0..PORT_ATTEMPTS_MAX {
            let server = Self::spawn(&binary, config)?;
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(why) if why.port_taken => {}
                Err(why) => return Err(server.keeper.not_ready(&server.url(), &why)),
            }
        }
        Err(ServersError::Unusable(format!(
            "every port for nats-server was taken by others, {PORT_ATTEMPTS_MAX} times in a row"
        )))
    }

    fn spawn(binary: &Path, config: &str) -> Result<Self, ServersError> {
        let port = lasting_port().map_err(ServersError::system("look for a free port on 127.0.0.1"))?;
        let dir = fresh_dir()?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let args = match arguments(&dir, port, &name, config) {
            Ok(args) => args,
            Err(error) => {
                // No keeper removes it yet. Should that fail, the first error is the one to show.
                let _ = fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        Ok(Self { keeper: ManagedProcess::start(dir, binary, &args)?, name, port })
    }

    async fn wait_until_ready(&self) -> Result<(), NotReady> {
        while !self.greets().await {
            self.keeper.check_starting()?;
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Whether this server, and not one that took its port, greets a client. JetStream is up by then.
    async fn greets(&self) -> bool {
        let greeting = tokio::time::timeout(GREETING_LIMIT, greeting(self.port)).await;
        greeting.is_ok_and(|line| {
            line.is_ok_and(|line| {
                line.starts_with("INFO ") && line.contains(&format!("\"server_name\":\"{}\"", self.name))
            })
        })
    }

    /// Kills the server as `kill -9` does and returns when it is gone. A second call does nothing.
    pub fn kill(&self) -> Result<(), ServersError> {
        self.keeper.signal("KILL")
    }

    /// Kills the server, if that has not been done, and starts it again on the same port, with the same
    /// config and the same store directory; returns when it greets clients. It has another pid then.
    ///
    /// # Errors
    /// [`ServersError::NotReady`] if it does not come up, or if someone else keeps its port.
    pub async fn restart(&self) -> Result<(), ServersError> {
        let mut attempts = 1;
        loop {
            self.kill()?;
            self.keeper.start_again()?;
            match self.wait_until_ready().await {
                Ok(()) => return Ok(()),
                Err(why) if why.port_taken && attempts < PORT_ATTEMPTS_MAX => attempts += 1,
                Err(why) => return Err(self.keeper.not_ready(&self.url(), &why)),
            }
            tokio::time::sleep(PORT_PAUSE).await;
        }
    }

    /// Stops the server as it stands (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) -> Result<(), ServersError> {
        self.keeper.pause()
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), ServersError> {
        self.keeper.signal("CONT")
    }

    /// The server's process id; another one after each restart.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.keeper.pid()
    }

    /// The port for clients, which stays the same.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server's own directory: `store` (JetStream's files), `nats.conf` and `log`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.keeper.dir()
    }

    /// The last lines of the server's log, which goes on over restarts.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.keeper.log_tail()
    }
}

/// Writes the config file and the store directory, and returns the arguments of the server.
fn arguments(dir: &Path, port: u16, name: &str, config: &str) -> Result<Vec<String>, ServersError> {
    let (file, store) = (dir.join("nats.conf"), dir.join("store"));
    let folder = Folder::private(dir)?;
    folder.put("nats.conf", format!("{STORE}\n{config}").as_bytes(), false)?;
    folder.child("store")?;
    let (file, store, port) = (file.display().to_string(), store.display().to_string(), port.to_string());
    let args = ["-c", &file, "-a", "127.0.0.1", "-p", &port, "-n", name, "-js", "-sd", &store];
    Ok(args.into_iter().map(str::to_owned).collect())
}

async fn greeting(port: u16) -> std::io::Result<String> {
    let mut line = String::new();
    BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?).read_line(&mut line).await?;
    Ok(line)
}
