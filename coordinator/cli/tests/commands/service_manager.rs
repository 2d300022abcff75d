//! Messages to a service manager (`sd_notify`), and the unit files in `deploy/`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keysweep_cli::args::Cli;
use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::Broker;
use crate::cli::{Keysweep, Running};

/// How long a process may be silent, in these tests. They run on busy machines.
const LIMIT: Duration = Duration::from_secs(4);

/// The socket of a manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    seen: Vec<String>,
}

impl Manager {
    fn listen(name: &str) -> Self {
        // The directory of the tests may be too long for a socket.
        let path = std::env::temp_dir().join(format!("keysweep-{}-{name}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, path, seen: Vec::new() }
    }

    fn start(&self, command: Keysweep) -> Running {
        let limit = LIMIT.as_micros().to_string();
        command.env("NOTIFY_SOCKET", self.path.to_str().unwrap()).env("WATCHDOG_USEC", &limit).start()
    }

    /// The next lines, if they come soon.
    fn next(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(count) => {
                let lines = String::from_utf8(buffer[..count].to_vec()).unwrap();
                self.seen.extend(lines.lines().map(str::to_owned));
                Some(lines)
            }
            Err(e) => {
                assert!(matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{e}");
                None
            }
        }
    }

    /// Waits for a message with this line.
    #[track_caller]
    fn wait_for(&mut self, line: &str) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match self.next() {
                Some(lines) if lines.lines().any(|said| said == line) => return lines,
                _ => assert!(Instant::now() < until, "`{line}` never came: {:?}", self.seen),
            }
        }
    }

    fn count(&self, line: &str) -> usize {
        self.seen.iter().filter(|said| *said == line).count()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It may be gone.
        let _ = fs::remove_file(&self.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_knows_the_state_of_each_process() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    for name in ["serve", "worker"] {
        let mut manager = Manager::listen(name);
        server.kill().unwrap();
        let process = manager.start(broker.command(&[name], &[]));
        manager.wait_for("STATUS=waiting for NATS");
        assert_eq!(manager.count("READY=1"), 0, "{:?}", manager.seen);
        server.restart().await.unwrap();
        let ready = manager.wait_for("READY=1");
        assert_eq!(ready, "READY=1\nSTATUS=ready");
        server.kill().unwrap();
        manager.wait_for("STATUS=the connection to NATS is lost");
        server.restart().await.unwrap();
        manager.wait_for("STATUS=ready");
        assert_eq!(manager.count("STOPPING=1"), 0, "{:?}", manager.seen);
        process.signal("TERM");
        assert_eq!(manager.wait_for("STOPPING=1"), "STOPPING=1\nSTATUS=draining");
        process.end().exits(0);
        assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1")), (1, 1), "{:?}", manager.seen);
    }
}

/// The manager allows a silence of [`LIMIT`]; a process that hangs is silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_lives_says_so_in_time() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let mut manager = Manager::listen("watchdog");
    let process = manager.start(broker.command(&["worker"], &[]));
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    let mut last = Instant::now();
    for _ in 0..4 {
        manager.wait_for("WATCHDOG=1");
        assert!(last.elapsed() < LIMIT, "{:?} of silence", last.elapsed());
        last = Instant::now();
    }
    process.signal("STOP");
    while manager.next().is_some() {}
    let stopped = Instant::now();
    while stopped.elapsed() < LIMIT {
        assert_eq!(manager.next(), None);
    }
    process.signal("CONT");
    manager.wait_for("WATCHDOG=1");
    process.signal("TERM");
    process.end().exits(0);
}

/// A socket that is not there, one without a reader, and one with a name but no path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_manager_disturbs_a_process() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let unread = Manager::listen("unread");
    let name = format!("keysweep-{}", std::process::id());
    let named = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for socket in ["/gone/socket", "\u{1}", unread.path.to_str().unwrap(), &format!("@{name}")] {
        let command = broker.command(&["worker"], &[]).env("NOTIFY_SOCKET", socket);
        let mut worker = command.env("WATCHDOG_USEC", "2000").start();
        worker.wait_for("worker is ready");
        // More messages than fit into a socket.
        std::thread::sleep(Duration::from_millis(500));
        let ended = broker.run(&[]);
        ended.exits(0).result("completed");
        worker.signal("TERM");
        let ended = worker.end();
        ended.exits(0);
        let said = ended.stderr.matches("the service manager does not get messages").count();
        assert!(said <= 1, "{ended}");
        assert!(said == 1 || !socket.starts_with("/gone"), "{ended}");
    }
    let mut buffer = [0; 100];
    let count = named.recv(&mut buffer).unwrap();
    assert!(count > 0);
}

/// The unit files start commands that exist, and promise to the manager what these do.
#[test]
fn unit_files_start_commands_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    for (name, command) in [("keysweep.service", "serve"), ("keysweep-worker@.service", "worker")] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let pairs =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        let unit: BTreeMap<&str, &str> = pairs.collect();
        let parsed = Cli::parse(unit["ExecStart"].split_whitespace());
        assert_eq!(parsed.unwrap_or_else(|e| panic!("{name}: {e}")).name, command);
        assert_eq!((unit["Type"], unit["Restart"]), ("notify", "always"), "{name}");
        assert!(unit["WatchdogSec"].parse::<u64>().is_ok_and(|seconds| seconds >= 10), "{name}");
    }
}
