//! Many clients that open HTTP connections and send no complete request: others are served all the same, on every
//! role.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use tokio::net::TcpSocket;

use crate::cli::Running;
use crate::cli::SECRET;
use crate::cli::broker::{Broker, file};

/// Incomplete requests.
const HALF_SENT: usize = 1_000;

/// How long a client that sends its request at once may wait for the response: a probe of an orchestrator allows a
/// second.
const IN_TIME: Duration = Duration::from_secs(1);

/// How long a client waits for a connection, or for the rest of a response: longer than any limit on how long a response may
/// take, which is what the tests are about.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A login whose body does not come.
pub const HALF_A_LOGIN: &str = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
                                X-Keysweep: page\r\nContent-Length: 99\r\n\r\n{";

/// Opens a connection from the address `from` to `to`, and sends `text`.
async fn begin(from: IpAddr, to: SocketAddr, text: &str) -> Option<TcpStream> {
    begin_at(SocketAddr::new(from, 0), to, text).await
}

/// The same from a port.
pub async fn begin_at(from: SocketAddr, to: SocketAddr, text: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(from).unwrap();
    let stream = tokio::time::timeout(CLIENT_TIMEOUT, socket.connect(to)).await.ok()?.ok()?;
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    // It may have been closed meanwhile.
    let _ = (&stream).write_all(text.as_bytes());
    Some(stream)
}

/// The response to `path`, and how long it takes.
pub async fn get(to: SocketAddr, path: &str) -> (String, Duration) {
    let begun = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nHost: keysweep\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    if let Some(mut stream) = begin("127.0.0.1".parse().unwrap(), to, &request).await {
        stream.set_read_timeout(Some(CLIENT_TIMEOUT)).unwrap();
        let _ = stream.read_to_string(&mut text);
    }
    (text, begun.elapsed())
}

#[track_caller]
fn in_time(response: &(String, Duration), role: &Running) {
    within(IN_TIME, response, role);
}

#[track_caller]
pub fn within(time: Duration, (text, took): &(String, Duration), role: &Running) {
    assert!(text.starts_with("HTTP/1.1 200 "), "`{text}`\n{}", role.so_far());
    assert!(*took < time, "{took:?}\n{}", role.so_far());
}

/// Number of file descriptors that a process has open.
pub fn files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

async fn crowded_role(broker: &Broker, name: &str, more: &[&str]) -> (Running, SocketAddr) {
    let flags = [&["--admin-addr", "127.0.0.1:0"], more].concat();
    let mut role = broker.command(&[name], &flags).start();
    let address = role.admin_address().parse().unwrap();
    role.wait_for(" is ready, NATS at");
    // Fewer descriptors than clients, so that the limit matters.
    let limit = Command::new("prlimit").args(["--nofile=512:512", "--pid", &role.pid().to_string()]).status();
    assert!(limit.unwrap().success());
    (role, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_requests_block_no_role() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await.env("KEYSWEEP_API_TOKEN", SECRET);
    for name in ["serve", "scanner", "reaper", "reporter"] {
        let (mut role, address) = crowded_role(&broker, name, &[]).await;
        // The head, and the body, from the same address as the complete requests, and from many others. The service
        // reads the body of a login of anyone.
        let texts = ["GET /livez HTTP/1.1\r\nHost: k", HALF_A_LOGIN];
        for (text, addresses) in [(texts[0], 1), (texts[1], 1), (texts[0], 50), (texts[1], 50)] {
            let mut held = Vec::new();
            for n in 0..HALF_SENT {
                let last = u8::try_from(1 + n % addresses).unwrap();
                held.extend(begin(IpAddr::from([127, 0, 0, last]), address, text).await);
                if n % 100 == 99 {
                    in_time(&get(address, "/livez").await, &role);
                }
            }
            assert!(files(role.pid()) < 300, "{} files", files(role.pid()));
            for path in ["/livez", "/readyz", "/metrics"] {
                in_time(&get(address, path).await, &role);
            }
            if name == "serve" {
                let asked = broker.command(&["stats", "--json"], &[]).run();
                assert!(!asked.exits(0).stderr.contains("computed without it"), "{asked}");
            }
            drop(held);
        }
        role.wait_for(
            "HTTP: too many connections; the last one came from 127.0.0.1. At most 200 are kept, and 64",
        );
        assert!(role.so_far().matches("too many connections").count() < 10, "{}", role.so_far());
        role.signal("TERM");
        role.end().exits(0);
    }
}

/// Sends `text`, and then a byte twice a second, until the connection is closed.
async fn drip(to: SocketAddr, text: &str) -> TcpStream {
    let stream = begin("127.0.0.1".parse().unwrap(), to, text).await.expect("there is room");
    let mut slow = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while slow.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    stream
}

/// An incomplete request is closed after a deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_requests_are_closed() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let token = file("crowded-token", &format!("{SECRET}\n"));
    let (role, address) = crowded_role(&broker, "serve", &["--api-token-file", &token]).await;
    let home: IpAddr = "127.0.0.1".parse().unwrap();
    let begun = Instant::now();
    let body = format!(
        "POST /api/runs HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 99\r\n\r\n{{"
    );
    let texts = ["", "GET /li", "GET /livez HTTP/1.1\r\nHost: k\r\n", &body];
    let mut held = Vec::new();
    for text in texts {
        held.push(begin(home, address, text).await.expect("there is room"));
    }
    held.push(drip(address, "GET /livez HTTP/1.1\r\nHost: k\r\nX: ").await);
    held.push(drip(address, &body).await);
    let huge = format!("GET /livez HTTP/1.1\r\nHost: k\r\nX: {}", "x".repeat(100_000));
    held.push(begin(home, address, &huge).await.expect("there is room"));
    let mut answers = Vec::new();
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = Vec::new();
        // One that is closed with unread bytes is reset.
        let ended = stream.read_to_end(&mut text);
        assert!(
            !ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
            "it stays open: {}",
            role.so_far()
        );
        answers.push(String::from_utf8_lossy(&text).into_owned());
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(
        answers[3].contains(" 408 ") && answers[3].contains("the body took longer than 10 s"),
        "{answers:?}"
    );
    // What it sends after the answer resets the connection.
    assert!(answers[5].is_empty() || answers[5].contains(" 408 "), "{answers:?}");
    let huge = answers.last().unwrap();
    assert!(huge.is_empty() || huge.contains(" 431 "), "{answers:?}");
    in_time(&get(address, "/livez").await, &role);
}
