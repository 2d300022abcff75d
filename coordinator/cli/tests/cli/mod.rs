//! Shared by the tests of the command line: the real binary with captured output, real servers, and fakes for faults
//! that a real server does not produce on demand.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "every test file uses its own part of the kit, and stops at what it did not expect"
)]

pub mod api;
pub mod broker;
pub mod browser;
pub mod cache_client;
pub mod certificates;
pub mod deployment;
pub mod examples;
pub mod experiment_application;
pub mod fake;
pub mod hostile;
pub mod https;
pub mod jwt;
pub mod proxy;
pub mod raw;
pub mod schemas;
pub mod state;
mod stream;

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::stream::Stream;

/// The resident memory that a process may take: 64 MiB, and 12 MiB for the program of these debug builds, whose code is larger
/// than that of a release build.
pub const DEBUG_KIB_MAX: u64 = 76 << 10;

/// The password of every test. It must never be printed, which is checked in the output of all tests.
pub const SECRET: &str = "hunter2-hunter2";

/// Longer than any operation of a test: exceeded only by a hang.
const HANG: Duration = Duration::from_secs(110);

/// Where the commands of the tests store files that outlive them.
pub const STATE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/state");

/// Texts that no user may ever see.
const NEVER: [&str; 4] = ["panicked", "RUST_BACKTRACE", "stack backtrace", SECRET];

/// A command line that was not started yet.
pub struct Keysweep {
    command: Command,
    line: String,
}

/// `keysweep` with `args`, without settings in its environment, and without a terminal.
pub fn keysweep(args: &[&str]) -> Keysweep {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysweep"));
    command.args(args);
    Keysweep { command, line: format!("keysweep {}", args.join(" ")) }.bare()
}

/// Another program, started in `folder`, under the same conditions.
pub fn program(folder: &Path, words: &[&str]) -> Keysweep {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    let mut program = Keysweep { command, line: words.join(" ") }.bare();
    program.command.current_dir(folder);
    program
}

/// The same with a maximum size for files, to simulate a full disk.
pub fn with_small_files(bytes: u64, args: &[&str]) -> Keysweep {
    let script = format!("trap '' XFSZ; exec prlimit --fsize={bytes} \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_keysweep")]).args(args);
    Keysweep { command, line: format!("keysweep {}", args.join(" ")) }.bare()
}

/// The same with a file as its standard input.
pub fn with_input(path: &Path, args: &[&str]) -> Keysweep {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" < \"$INPUT\"", env!("CARGO_BIN_EXE_keysweep")]).args(args);
    Keysweep { command, line: format!("keysweep {} < {}", args.join(" "), path.display()) }
        .bare()
        .env("INPUT", &path.to_string_lossy())
}

/// A line as a person or a pipeline executes it in a folder, with `keysweep` in its PATH.
pub fn typed(line: &str, folder: &Path) -> Keysweep {
    let programs = Path::new(env!("CARGO_BIN_EXE_keysweep")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.args(["100", "bash", "-ec", line]);
    let mut keysweep = Keysweep { command, line: line.to_owned() }.bare().env("PATH", &path);
    keysweep.command.current_dir(folder);
    keysweep
}

/// The same on a terminal of 80 columns: the standard output contains all that the terminal shows.
pub fn on_terminal(args: &[&str]) -> Keysweep {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_keysweep"), quoted.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty cols 80 rows 24; exec {line}"), "/dev/null"]);
    Keysweep { command, line }.bare()
}

impl Keysweep {
    fn bare(mut self) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        self.command.env_clear().env("PATH", path).env("TERM", "xterm").env("RUST_BACKTRACE", "1");
        self.command.current_dir(env!("CARGO_TARGET_TMPDIR"));
        // Reports and histories are stored there, not in the user's directories. Separate for each test process: ports
        // are reused, and with them the names of histories.
        let state = format!("{STATE}/{}", std::process::id());
        self.command.env("XDG_STATE_HOME", state).env("TMPDIR", env!("CARGO_TARGET_TMPDIR"));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it with these streams, and without an input.
    pub fn spawn(mut self, stdout: Stdio, stderr: Stdio) -> Child {
        self.command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        self.command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.line))
    }

    /// Starts it and captures its output.
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.line));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        let [stdout, stderr] = streams.map(Stream::read);
        Running { input: child.stdin.take(), child, stdout, stderr, started: Instant::now(), line: self.line }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        let mut running = self.start();
        running.input = None;
        running.end()
    }

    /// Runs it to its end with an open input: `script` would take the end of its own input for an answer.
    pub fn run_open(self) -> Ended {
        self.start().end()
    }

    /// Runs it without a reader of its output.
    pub fn run_unread(self) -> ExitStatus {
        let mut child = self.spawn(Stdio::piped(), Stdio::piped());
        drop((child.stdout.take(), child.stderr.take()));
        child.wait().expect("keysweep ends")
    }
}

/// A running `keysweep`. Dropping it kills it.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
    line: String,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `text` appears on either stream.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &mut Self {
        while !self.stderr.text().contains(text) && !self.stdout.text().contains(text) {
            let gone = self.child.try_wait().expect("a child can be waited for").is_some();
            assert!(!gone && self.started.elapsed() < HANG, "`{text}` never showed\n{}", self.so_far());
            thread::sleep(Duration::from_millis(10));
        }
        self
    }

    /// The address of a role with `--admin-addr 127.0.0.1:0`, from its log.
    #[track_caller]
    pub fn admin_address(&mut self) -> String {
        self.address_after("metrics at http://")
    }

    /// The same of a role that speaks TLS there.
    #[track_caller]
    pub fn tls_address(&mut self) -> String {
        self.address_after("metrics at https://")
    }

    #[track_caller]
    fn address_after(&mut self, before: &str) -> String {
        let after = "/metrics";
        self.wait_for(after);
        let said = self.stderr.text();
        let said = said.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        said.expect("an address").0.to_owned()
    }

    /// Sends a signal such as `INT`.
    pub fn signal(&self, name: &str) -> &Self {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill starts").success());
        self
    }

    /// Types `text`.
    pub fn types(&mut self, text: &str) -> &mut Self {
        self.input.as_mut().expect("still open").write_all(text.as_bytes()).expect("it reads");
        self
    }

    /// The time since its start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Kills it like `kill -9`, and returns its output when it has ended.
    pub fn kill(mut self) -> String {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
        self.so_far()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(self) -> Ended {
        // A service may have run for hours.
        let limit = self.started.elapsed() + HANG;
        self.end_within(limit)
    }

    /// Waits for the end of a longer operation; `limit` counts from its start.
    #[track_caller]
    pub fn end_within(mut self, limit: Duration) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(self.started.elapsed() < limit, "it hangs\n{}", self.so_far());
            thread::sleep(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        for stream in [&mut self.stdout, &mut self.stderr] {
            stream.reader.take().expect("joined once").join().expect("a reader does not panic");
        }
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        let ended = Ended { code: status.code(), stdout, stderr, took, line: self.line.clone() };
        for never in NEVER {
            let shown = ended.stdout.contains(never) || ended.stderr.contains(never);
            assert!(!shown, "`{never}` must not show\n{ended}");
        }
        schemas::check_output(&ended.line, &ended.stdout);
        ended
    }

    /// Runs it to its end; also returns its peak memory in KiB, as far as it was sampled.
    pub fn end_with_peak(mut self) -> (Ended, u64) {
        let mut peak = 0;
        while let Ok(None) = self.child.try_wait() {
            peak = peak.max(self.peak_kib());
            thread::sleep(Duration::from_millis(5));
        }
        (self.end(), peak)
    }

    /// Its peak memory so far, in KiB; 0 once it has ended.
    pub fn peak_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        // Right after the fork, its memory is still that of the test.
        if !text.starts_with("Name:\tkeysweep\n") {
            return 0;
        }
        let peak = |line: &str| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok();
        text.lines().find_map(peak).unwrap_or(0)
    }

    /// Its memory now, in KiB; 0 once it has ended.
    pub fn resident_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let now = |line: &str| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok();
        text.lines().find_map(now).unwrap_or(0)
    }

    /// Its command line and its output so far.
    pub fn so_far(&self) -> String {
        format!("$ {}\n--- stdout\n{}\n--- stderr\n{}", self.line, self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a `keysweep` ended.
pub struct Ended {
    /// `None` if a signal killed it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    line: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}\nexit {:?} after {:?}", self.line, self.code, self.took)?;
        writeln!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}

impl Ended {
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The log must contain all of `texts`.
    #[track_caller]
    pub fn log_contains(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not in the log\n{self}");
        }
        self
    }

    /// The standard output must be one JSON document, which is returned.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON document: {e}\n{self}"))
    }

    /// It was run with `--json` and must have ended with an error that contains all of `texts`: in the last line of
    /// the log, and in the document.
    #[track_caller]
    pub fn fails(&self, code: i32, texts: &[&str]) -> &Self {
        self.exits(code);
        let json = self.json();
        let error = json["error"].as_str().unwrap_or_default();
        assert!(json["exitCode"] == code && json.as_object().is_some_and(|all| all.len() == 2), "{self}");
        assert!(self.stderr.contains(&format!("error: {error}")), "the log ends with another error\n{self}");
        for text in texts {
            assert!(error.contains(text), "`{text}` is not in the error\n{self}");
        }
        self
    }

    /// The result of a run with `--json`, which must have ended as `status` with a balanced accounting.
    #[track_caller]
    pub fn result(&self, status: &str) -> Value {
        let result = self.json();
        assert_eq!(result["status"], status, "{self}");
        assert_eq!(result["accounting"]["balanced"], true, "{self}");
        result
    }
}
