//! A server process that cannot outlive this one: a shell starts, signals, restarts and ends it. How a server shows
//! that it is ready depends on the server: [`LocalServer`].

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ServersError;
use super::ports::{is_gone, is_running};

/// How often another port is tried if another process took the chosen one before the server could bind it.
pub const PORT_ATTEMPTS_MAX: u32 = 8;
/// The delay between readiness checks.
pub const READY_POLL: Duration = Duration::from_millis(10);
/// How long a server may take until it answers; generous, because tests share small machines.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// The number of a log's last lines in errors.
const LOG_TAIL_LINES: usize = 20;

/// The shell between this process and the server. It starts the server, prints its pid, forwards the signals that it
/// reads, restarts the server on `START` after a kill, and ends the server and its directory when its input ends: when
/// the guard is dropped, or when this process has ended for any reason.
const KEEPER: &str = r#"
dir=$1; shift
start() { "$@" </dev/null >>"$dir/log" 2>&1 & pid=$!; }
start "$@"
echo $pid
while read -r order; do
  case $order in
    START) [ -n "$pid" ] || start "$@"; echo $pid ;;
    *)
      [ -z "$pid" ] || kill -s "$order" $pid
      if [ "$order" = KILL ] && [ -n "$pid" ]; then wait $pid; pid=; fi
      echo $order ;;
  esac
done
[ -z "$pid" ] || { kill -s KILL $pid; wait $pid; }
rm -rf "$dir"
"#;

/// A server process with its directory and its log. Dropping it kills the server, waits for its end and removes the
/// directory.
pub struct ManagedProcess {
    /// The program's name, for messages.
    program: String,
    binary: PathBuf,
    dir: PathBuf,
    state: Mutex<ProcessState>,
}

struct ProcessState {
    shell: Child,
    /// Dropping it ends the server.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: u32,
    /// The offset in the log file where the log of the current process begins, in bytes.
    log_from: usize,
    since: Instant,
}

/// Why a server will not become ready.
pub struct NotReady {
    what: &'static str,
    /// Whether another port, or the same one a little later, may work.
    pub port_taken: bool,
}

/// A server that [`start`] can start.
pub trait LocalServer {
    /// Its process.
    fn process(&self) -> &ManagedProcess;

    /// Its address, for messages.
    fn url(&self) -> String;

    /// Whether this server, and not another one on its port, answers.
    fn answers(&self) -> impl Future<Output = bool> + Send;
}

/// Starts servers with `spawn` until one has its port for itself; returns when it answers.
///
/// # Errors
/// Those of `spawn`, and [`ServersError::NotReady`].
pub async fn start<S: LocalServer>(spawn: impl Fn() -> Result<S, ServersError>) -> Result<S, ServersError> {
    for _ in 0..PORT_ATTEMPTS_MAX {
        let server = spawn()?;
        match wait_until_ready(&server).await {
            Ok(()) => return Ok(server),
            Err(why) if why.port_taken => {}
            Err(why) => return Err(server.process().not_ready(&server.url(), &why)),
        }
    }
    Err(ServersError::Unusable(format!(
        "every port for a local server was taken by others, {PORT_ATTEMPTS_MAX} times in a row"
    )))
}

/// Returns when `server` answers.
///
/// # Errors
/// If its process ended, or if the time limit for readiness is over.
pub async fn wait_until_ready(server: &impl LocalServer) -> Result<(), NotReady> {
    while !server.answers().await {
        server.process().check_starting()?;
        tokio::time::sleep(READY_POLL).await;
    }
    Ok(())
}

impl ManagedProcess {
    /// Starts `binary` with `args`. The shell owns `dir` and removes it.
    ///
    /// # Errors
    /// If the shell cannot be started.
    pub fn start(dir: PathBuf, binary: &Path, args: &[String]) -> Result<Self, ServersError> {
        let program = binary.file_name().unwrap_or(binary.as_os_str()).to_string_lossy().into_owned();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keysweep-keeper"]).arg(&dir).arg(binary).args(args);
        // Its own process group: Ctrl-C in the terminal must end this process first, then the server.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell =
            command.spawn().map_err(ServersError::system(format!("start `sh` to keep {program}")))?;
        let (orders, answers) = (shell.stdin.take(), shell.stdout.take());
        let Some(answers) = answers.map(BufReader::new) else {
            return Err(ServersError::Unusable("`sh` was started without its pipes".to_owned()));
        };
        let mut state = ProcessState { shell, orders, answers, pid: 0, log_from: 0, since: Instant::now() };
        let pid = state.answer().map_err(ServersError::system(format!("start {program} through `sh`")))?;
        state.pid = process_id(&pid)?;
        Ok(Self { program, binary: binary.to_owned(), dir, state: Mutex::new(state) })
    }

    /// Sends a signal, such as `STOP`. `KILL` returns when the process has ended; a second one has no effect.
    fn signal(&self, name: &str) -> Result<(), ServersError> {
        let mut state = self.state();
        let sent = state.order(name).map(drop);
        sent.map_err(ServersError::system(format!("send SIG{name} to {} {}", self.program, state.pid)))
    }

    /// Kills the process like `kill -9` and returns when it has ended. A second call has no effect.
    pub fn kill(&self) -> Result<(), ServersError> {
        self.signal("KILL")
    }

    /// Pauses the process, and returns when all of its threads are paused: the signal reaches them one by one. Its
    /// connections stay open without replies.
    pub fn pause(&self) -> Result<(), ServersError> {
        self.signal("STOP")?;
        let (pid, since) = (self.pid(), Instant::now());
        while is_running(pid) && since.elapsed() < READY_LIMIT {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Resumes a paused process.
    pub fn resume(&self) -> Result<(), ServersError> {
        self.signal("CONT")
    }

    /// Starts the same program with the same arguments again after a kill; otherwise has no effect.
    pub fn start_again(&self) -> Result<(), ServersError> {
        let mut state = self.state();
        state.log_from = self.log().len();
        state.since = Instant::now();
        let pid = state.order("START");
        let pid = pid.map_err(ServersError::system(format!("start {} again", self.program)))?;
        state.pid = process_id(&pid)?;
        Ok(())
    }

    /// An error if the current process ended, or if the time limit for readiness is over.
    pub fn check_starting(&self) -> Result<(), NotReady> {
        let (pid, since) = {
            let state = self.state();
            (state.pid, state.since)
        };
        let gone = is_gone(pid);
        // Both spellings: redis-server's (from C) and nats-server's (from Go).
        let log = self.present_log();
        let port_taken = log.contains("Address already in use") || log.contains("address already in use");
        if port_taken || gone {
            return Err(NotReady { what: "ended at once", port_taken });
        }
        if since.elapsed() > READY_LIMIT {
            return Err(NotReady { what: "did not answer within 15 s", port_taken: false });
        }
        Ok(())
    }

    /// The error for a server at `url` that will not become ready.
    #[must_use]
    pub fn not_ready(&self, url: &str, why: &NotReady) -> ServersError {
        let what = format!("{} (`{}`) at `{url}` {}", self.program, self.binary.display(), why.what);
        ServersError::NotReady { what, log: self.log_tail() }
    }

    /// The process id, which changes with each restart; after a kill, that of the killed process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.state().pid
    }

    /// The server's own directory, with its files and `log`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The last lines of the server's log, which continues over restarts.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// The log of the current process only: a process that took the port must not be mistaken for it.
    pub(super) fn present_log(&self) -> String {
        let from = self.state().log_from;
        self.log().get(from..).unwrap_or_default().to_owned()
    }

    fn log(&self) -> String {
        fs::read(self.dir.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, ProcessState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(state.orders.take());
        // A failure cannot be reported here; the shell ends by itself.
        let _ = state.shell.wait();
    }
}

impl ProcessState {
    fn order(&mut self, order: &str) -> io::Result<String> {
        if let Some(orders) = &mut self.orders {
            orders.write_all(format!("{order}\n").as_bytes())?;
        }
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

fn process_id(text: &str) -> Result<u32, ServersError> {
    text.parse().map_err(|_| ServersError::Unusable(format!("`sh` named `{text}` as a process id")))
}
