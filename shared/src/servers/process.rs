//! One redis-server process that cannot outlive us. Sentinel and TLS are absent.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host::{arguments, free_ports, fresh_dir, is_gone};
use super::{ServersError, binary};
use crate::cluster::{Access, Conn, FaultKind};

/// How long a server may take until it answers; generous, because tests share small machines.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// How often another port is tried when someone took ours before the server could bind it.
const PORT_ATTEMPTS_MAX: u32 = 8;
/// How many lines of a server's log an error shows.
const LOG_TAIL_LINES: usize = 20;

/// The shell that stands between us and the server. It starts the server, tells its pid, passes on the
/// signals that it is told to send, and ends the server and its directory when its input ends: when the
/// guard is dropped, or when our process is gone, however that happened.
const KEEPER: &str = r#"
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 & pid=$!
echo $pid
while read -r signal; do
  [ -z "$pid" ] || kill -s "$signal" $pid
  if [ "$signal" = KILL ] && [ -n "$pid" ]; then wait $pid; pid=; fi
  echo $signal
done
[ -z "$pid" ] || { kill -s KILL $pid; wait $pid; }
rm -rf "$dir"
"#;

/// A running redis-server. Dropping it kills the server, waits until it is gone and removes its files.
pub struct Server {
    keeper: Mutex<Keeper>,
    pid: u32,
    port: u16,
    bus_port: Option<u16>,
    dir: PathBuf,
}

struct Keeper {
    process: Child,
    /// Dropping it ends the server.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
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
                Err(why) => {
                    let what =
                        format!("redis-server (`{}`) at `{}` {}", binary.display(), server.url(), why.what);
                    return Err(ServersError::NotReady { what, log: server.log_tail() });
                }
            }
        }
        Err(ServersError::Unusable(format!(
            "every port for redis-server was taken by others, {PORT_ATTEMPTS_MAX} times in a row"
        )))
    }

    fn spawn(binary: &Path, extra_args: &[&str], in_cluster: bool) -> Result<Self, ServersError> {
        let [port, other] = free_ports().map_err(ServersError::system("look for free ports on 127.0.0.1"))?;
        let bus_port = in_cluster.then_some(other);
        let dir = fresh_dir()?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keysweep-keeper"]).arg(&dir).arg(binary);
        command.args(arguments(&dir, port, bus_port)).args(extra_args);
        // A group of its own: Ctrl-C in the terminal is for us; the server ends after us, not before.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(ServersError::system("start `sh` to keep redis-server"))?;
        let (orders, answers) = (process.stdin.take(), process.stdout.take());
        let Some(answers) = answers.map(BufReader::new) else {
            return Err(ServersError::Unusable("`sh` was started without its pipes".to_owned()));
        };
        let mut keeper = Keeper { process, orders, answers };
        let pid = keeper.hear().map_err(ServersError::system("start redis-server through `sh`"))?;
        let pid =
            pid.parse().map_err(|_| ServersError::Unusable(format!("`sh` named `{pid}` as a process id")))?;
        Ok(Self { keeper: Mutex::new(keeper), pid, port, bus_port, dir })
    }

    async fn wait_until_ready(&self) -> Result<(), NotReady> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            // The log is this server's own, so it cannot be mistaken for one that took our port.
            let log = self.log();
            if log.contains("Ready to accept connections") && self.answers().await {
                return Ok(());
            }
            let port_taken = log.contains("Address already in use");
            if port_taken || is_gone(self.pid) {
                return Err(NotReady { what: "ended at once", port_taken });
            }
            if Instant::now() > deadline {
                return Err(NotReady { what: "did not answer within 15 s", port_taken: false });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
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
        self.signal("KILL")
    }

    /// Stops the server as it stands (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) -> Result<(), ServersError> {
        self.signal("STOP")
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), ServersError> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<(), ServersError> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = keeper.order(name);
        sent.map_err(ServersError::system(format!("send SIG{name} to redis-server {}", self.pid)))
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
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
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn log(&self) -> String {
        fs::read(self.dir.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.orders.take());
        // Nobody is left to tell if this fails; the keeper ends by itself then.
        let _ = keeper.process.wait();
    }
}

impl Keeper {
    fn order(&mut self, signal: &str) -> io::Result<()> {
        if let Some(orders) = &mut self.orders {
            orders.write_all(format!("{signal}\n").as_bytes())?;
        }
        self.hear().map(drop)
    }

    fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

struct NotReady {
    what: &'static str,
    port_taken: bool,
}
