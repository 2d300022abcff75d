//! Ten thousand connections at once, of clients that are slow, send bad requests, or nothing: the service closes most of
//! them, answers probes meanwhile, stays within its memory, and says so in a few lines. Without TLS, and over it.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::idle_connections::{HALF_A_LOGIN, begin_at, files, get, within};
use super::service::{Machine, stopped};
use crate::cli::certificates::Certificates;
use crate::cli::https::is_trusted;
use crate::cli::{DEBUG_KIB_MAX, Running};

/// Connections that the clients hold, if they may open so many files.
const CONNECTIONS: usize = 10_000;

/// Files that a test process opens otherwise: other tests run in it, too.
const OTHER_FILES: usize = 2_000;

/// One crowd at a time: two of them need more files than many systems allow a process.
static TURN: Mutex<()> = Mutex::const_new(());

/// The first port of the clients.
const FIRST_PORT: u16 = 20_000;

/// How long a probe takes at most, on a machine that is busy with other tests. The system of a client sends its request for
/// a connection again after one second, and then after two and four, if too many wait to be accepted. A service that kept
/// what is held here would never answer.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// The most memory that the service may have had.
const PEAK_KIB_MAX: u64 = DEBUG_KIB_MAX;

const FOREIGN_POST: &str = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\
                            Content-Length: 2\r\n\r\n{}";

const FOREIGN_HOST: &str = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";

const WRONG_TOKEN: &str = "GET /api/runs HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer hunter2-no\r\n\r\n";

/// As many connections as this process may open, which is printed.
fn count() -> usize {
    let own = std::process::id().to_string();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let hard = line.split_whitespace().nth(1).unwrap();
    let raised = Command::new("prlimit").args(["--pid", &own, &format!("--nofile={hard}:{hard}")]).status();
    assert!(raised.unwrap().success());
    let most = hard.parse::<usize>().map_or(CONNECTIONS, |hard| hard.saturating_sub(OTHER_FILES));
    println!("{} connections", CONNECTIONS.min(most));
    CONNECTIONS.min(most)
}

/// Opens connections from 200 addresses that send `texts` in turn; `probe` is called all along.
async fn crowd(service: &Running, address: &str, texts: &[&str], probe: impl AsyncFn()) {
    let _alone = TURN.lock().await;
    let to: SocketAddr = address.parse().unwrap();
    let before = service.peak_kib();
    let mut held = Vec::new();
    for n in 0..count() {
        let address = IpAddr::from([127, 0, 0, u8::try_from(1 + n % 200).unwrap()]);
        // Not one that the system would give to another test.
        let from = SocketAddr::new(address, FIRST_PORT + u16::try_from(n / 200).unwrap());
        let text = texts[n / 200 % texts.len()];
        held.push(begin_at(from, to, text).await.expect("it is accepted"));
        if n % 500 == 499 {
            probe().await;
        }
    }
    probe().await;
    let (files, peak) = (files(service.pid()), service.peak_kib());
    println!("{} held, {files} files, {before} KiB before, {peak} KiB at most", held.len());
    assert!(files < 300, "{files} files");
    assert!((1..PEAK_KIB_MAX).contains(&peak), "{peak} KiB");
    let log = service.so_far();
    assert!((1..20).contains(&log.matches("HTTP: ").count()), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_are_bounded() {
    let machine = Machine::start().await;
    let (service, api) = machine.service_with(&[], &[]);
    let to = api.address.parse().unwrap();
    let texts = ["", "GET /li", HALF_A_LOGIN, WRONG_TOKEN, FOREIGN_POST, FOREIGN_HOST];
    crowd(&service, &api.address, &texts, async || within(PROBE_MAX, &get(to, "/livez").await, &service))
        .await;
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_over_tls_are_bounded() {
    let (machine, certificates) = (Machine::start().await, Certificates::make());
    let path = |name| certificates.path(name);
    let (cert, key, ca) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let env = [("KEYSWEEP_ADMIN_CERT", cert.as_str()), ("KEYSWEEP_ADMIN_KEY", &key)];
    let mut service = machine.service_at("127.0.0.1:0", &env, &[]);
    let address = service.tls_address();
    // Nothing, a part of a first message, and no TLS at all.
    let texts = ["", "\x16\x03\x01\x02\x00\x01\x00\x01", WRONG_TOKEN];
    crowd(&service, &address, &texts, async || {
        let asked = Instant::now();
        assert!(tokio::task::block_in_place(|| is_trusted(&address, &ca)), "{}", service.so_far());
        assert!(asked.elapsed() < PROBE_MAX, "{:?}", asked.elapsed());
    })
    .await;
    stopped(service);
}
