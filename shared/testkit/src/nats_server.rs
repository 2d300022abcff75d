//! A nats-server process with JetStream that cannot outlive this process. Clusters and NATS clients are absent: the
//! server is ready when it sends its INFO line.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use keysweep_files::Folder;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use keysweep_servers::managed_process::{
    self, LocalServer, ManagedProcess, PORT_ATTEMPTS_MAX, wait_until_ready,
};
use keysweep_servers::{ServersError, free_ports, fresh_dir, nats_server};

/// Time limit for one attempt to read the INFO line.
const GREETING_LIMIT: Duration = Duration::from_secs(1);
/// The delay before a restart tries to bind a port again that another process uses.
const PORT_PAUSE: Duration = Duration::from_millis(250);
/// The limit of all streams together. By default, the server allows three quarters of the free disk, so that a machine
/// with little of it rejects streams, even if they are nearly empty.
const STORE: &str = "jetstream { max_file_store: 1TB }";

/// The range that [`lasting_port`] searches.
const LASTING_PORTS: std::ops::Range<u16> = 20_000..32_768;
/// How many ports it tries before it takes any free one.
const LASTING_PORT_ATTEMPTS: u32 = 100;

/// A running nats-server with JetStream. Dropping it kills the server, waits for its end and removes its files.
pub struct NatsServer {
    process: ManagedProcess,
    /// The server's name, which is unique.
    name: String,
    port: u16,
}

impl Deref for NatsServer {
    type Target = ManagedProcess;

    fn deref(&self) -> &ManagedProcess {
        &self.process
    }
}

impl LocalServer for NatsServer {
    fn process(&self) -> &ManagedProcess {
        &self.process
    }

    fn url(&self) -> String {
        self.url()
    }

    /// It sends the INFO line. JetStream is available by then.
    async fn answers(&self) -> bool {
        let greeting = tokio::time::timeout(GREETING_LIMIT, greeting(self.port)).await;
        greeting.is_ok_and(|line| {
            line.is_ok_and(|line| {
                line.starts_with("INFO ") && line.contains(&format!("\"server_name\":\"{}\"", self.name))
            })
        })
    }
}

impl NatsServer {
    /// Starts a server with the config file `config` (it may be empty); returns when it sends its INFO line. Address,
    /// port, name and store directory are passed as arguments, which override `config`. Monitoring is off, streams may
    /// reserve 1 TB, and writes are synced with the server's default, unless `config` differs.
    ///
    /// # Errors
    /// [`ServersError::MissingBinary`] and [`ServersError::WrongBinary`]; [`ServersError::NotReady`] if the server
    /// rejects `config`.
    pub async fn start(config: &str) -> Result<Self, ServersError> {
        let binary = nats_server()?;
        managed_process::start(|| Self::spawn(&binary, config)).await
    }

    fn spawn(binary: &Path, config: &str) -> Result<Self, ServersError> {
        let port = lasting_port()?;
        let dir = fresh_dir()?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let args = match arguments(&dir, port, &name, config) {
            Ok(args) => args,
            Err(error) => {
                // The shell does not remove it yet. If this fails, the first error is the one to report.
                let _ = fs::remove_dir_all(&dir);
                return Err(error);
            }
        };
        Ok(Self { process: ManagedProcess::start(dir, binary, &args)?, name, port })
    }

    /// Kills the server, if it runs, and starts it again on the same port, with the same config and store directory;
    /// returns when it sends its INFO line. It has another pid then.
    ///
    /// # Errors
    /// [`ServersError::NotReady`] if it does not start, or if another process uses its port.
    pub async fn restart(&self) -> Result<(), ServersError> {
        let mut attempts = 1;
        loop {
            self.kill()?;
            self.process.start_again()?;
            match wait_until_ready(self).await {
                Ok(()) => return Ok(()),
                Err(why) if why.port_taken && attempts < PORT_ATTEMPTS_MAX => attempts += 1,
                Err(why) => return Err(self.process.not_ready(&self.url(), &why)),
            }
            tokio::time::sleep(PORT_PAUSE).await;
        }
    }

    /// The port for clients, which is constant.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// Writes the config file, creates the store directory, and returns the arguments of the server.
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

/// A port that is free now and stays available to a server that restarts: it is below the ephemeral ports of the
/// system (Linux, macOS), which outgoing connections could take while the server is down.
fn lasting_port() -> Result<u16, ServersError> {
    for _ in 0..LASTING_PORT_ATTEMPTS {
        let port = fastrand::u16(LASTING_PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    free_ports().map(|[port, ..]| port)
}
