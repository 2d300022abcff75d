//! TLS at the admin address: of a service and of workers, with certificates that are renewed, unusable files, and clients
//! that do not finish.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use serde_json::json;

use super::service::{Machine, stopped};
use crate::cli::broker::{Broker, file};
use crate::cli::certificates::Certificates;
use crate::cli::https::{ask, is_trusted};
use crate::cli::{Running, SECRET, keysweep};

/// The variables of a certificate of `name` in a test's files.
fn variables(certificates: &Certificates, name: &str) -> [(&'static str, String); 2] {
    let path = |ending| certificates.path(&format!("{name}.{ending}"));
    [("KEYSWEEP_ADMIN_CERT", path("pem")), ("KEYSWEEP_ADMIN_KEY", path("key"))]
}

fn service(machine: &Machine, variables: &[(&'static str, String)], more: &[&str]) -> (Running, String) {
    let env: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut service = machine.service_at("127.0.0.1:0", &env, more);
    let address = service.tls_address();
    (service, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_speaks_tls() {
    let (machine, certificates) = (Machine::start().await, Certificates::make());
    let ca = certificates.path("ca.pem");
    let (service, address) = service(&machine, &variables(&certificates, "server"), &[]);
    let host = ("Host", address.as_str());
    for (path, text) in [("/livez", "alive"), ("/readyz", "ready"), ("/metrics", "keysweep_build_info{")] {
        let answer = ask(&address, &ca, &format!("GET {path}"), &[host], "");
        assert!(answer.status == 200 && answer.body.contains(text), "{answer:?}");
    }
    let bearer = format!("Bearer {SECRET}");
    let with_token = [host, ("Authorization", bearer.as_str())];
    assert_eq!(ask(&address, &ca, "GET /api/runs", &with_token, "").json(200), json!({ "runs": [] }));
    // The session is for TLS only.
    let of_page = [host, ("Content-Type", "application/json"), ("X-Keysweep", "page")];
    let token = json!({ "token": SECRET }).to_string();
    let answer = ask(&address, &ca, "POST /login", &of_page, &token);
    assert!(answer.header("set-cookie").ends_with("; Secure"), "{answer:?}");
    // Without TLS, it says what to do.
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: k\r\n\r\n").unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.ends_with("speaks TLS: use https://\n"), "{text}");
    let health = keysweep(&["health", "--admin-addr", &address]).run();
    assert_eq!(health.exits(0).stdout, "ready\n", "{health}");
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_speak_tls_by_flags_and_variables_only() {
    let (server, certificates) = (NatsServer::start("").await.unwrap(), Certificates::make());
    let broker = Broker::start(&["--nats", &server.url()]).await;
    // The table of the service is not about workers: these files are not there.
    let jobs = file("tls-workers.toml", "[serve]\nadmin_cert = \"gone.pem\"\nadmin_key = \"gone.key\"\n");
    let flags = ["--admin-addr", "127.0.0.1:0", "--config", &jobs];
    let mut plain = broker.command(&["reporter"], &flags).start();
    plain.admin_address();
    let [(_, cert), (_, key)] = variables(&certificates, "server");
    let tls = ["--admin-cert", &cert, "--admin-key", &key];
    let mut worker = broker.command(&["worker"], &[&flags[..], &tls].concat()).start();
    let address = worker.tls_address();
    worker.wait_for("worker is ready");
    assert!(is_trusted(&address, &certificates.path("ca.pem")));
    let health = keysweep(&["health", "--json", "--admin-addr", &address]).run();
    assert_eq!(health.exits(0).json()["healthy"], true, "{health}");
    for role in [plain, worker] {
        role.signal("TERM");
        role.end().exits(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_read_at_sighup() {
    let machine = Machine::start().await;
    let [former, renewed] = [Certificates::make(), Certificates::make()];
    let place = |certificates: &Certificates, from: &str, to: &str| {
        fs::copy(certificates.path(from), former.path(to)).unwrap();
    };
    place(&former, "server.pem", "used.pem");
    place(&former, "server.key", "used.key");
    let (mut service, address) = service(&machine, &variables(&former, "used"), &[]);
    let trusted_by = |certificates: &Certificates| is_trusted(&address, &certificates.path("ca.pem"));
    assert!(trusted_by(&former) && !trusted_by(&renewed));
    place(&renewed, "server.pem", "used.pem");
    // Half of a renewal changes nothing.
    service.signal("HUP");
    service.wait_for("used.key`: it is not the key of the certificate in");
    assert!(trusted_by(&former) && !trusted_by(&renewed));
    place(&renewed, "server.key", "used.key");
    service.signal("HUP");
    service.wait_for("SIGHUP: the settings were read again");
    assert!(!trusted_by(&former) && trusted_by(&renewed));
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_certificates_are_reported_before_the_start() {
    let (machine, certificates) = (Machine::start().await, Certificates::make());
    let path = |name: &str| certificates.path(name);
    fs::write(path("text.pem"), "not PEM").unwrap();
    fs::write(path("bad.key"), "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n").unwrap();
    let check = |cert: &str, key: &str, texts: &[&str]| {
        let serve = ["serve", "--redis", machine.place.url(), "--admin-addr", "127.0.0.1:0"];
        let given = [("--admin-cert", cert), ("--admin-key", key)];
        let given = given.into_iter().filter(|(_, name)| !name.is_empty());
        let given: Vec<String> = given.flat_map(|(flag, name)| [flag.to_owned(), path(name)]).collect();
        let args: Vec<&str> = serve.into_iter().chain(given.iter().map(String::as_str)).collect();
        machine.state.command(&args).run().exits(2).log_contains(texts);
    };
    check("server.pem", "", &["`--admin-cert` needs `serve.admin_key` as well (`--admin-key`)"]);
    check("", "server.key", &["`--admin-key` needs `serve.admin_cert` as well (`--admin-cert`)"]);
    check("gone.pem", "server.key", &["gone.pem`: No such file", "`--admin-cert` takes a PEM file"]);
    check("server.pem", "gone.key", &["gone.key`: No such file"]);
    check("text.pem", "server.key", &["text.pem`: it contains no certificate in PEM"]);
    check("server.pem", "server.pem", &["server.pem`: it contains no private key in PEM"]);
    check("server.pem", "bad.key", &["bad.key`: it contains no private key of"]);
    check(
        "server.pem",
        "client.key",
        &["client.key`: it is not the key of the certificate in", "server.pem"],
    );
    check("first.pem", "first.key", &["is of version 1 of X.509", "`subjectAltName`"]);
}

/// Clients that connect and stay silent, or stop within their first message, are closed, and other clients are served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_finish_the_handshake_are_closed() {
    let (machine, certificates) = (Machine::start().await, Certificates::make());
    let ca = certificates.path("ca.pem");
    let (service, address) = service(&machine, &variables(&certificates, "server"), &[]);
    let texts: [&[u8]; 3] = [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"];
    let begun = Instant::now();
    let held = texts.iter().cycle().take(300).map(|text| {
        let mut stream = TcpStream::connect(&address).unwrap();
        // It may have been closed meanwhile.
        let _ = stream.write_all(text);
        stream
    });
    let held: Vec<TcpStream> = held.collect();
    let asked = Instant::now();
    assert!(is_trusted(&address, &ca));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stream.read_to_end(&mut Vec::new());
        let open = ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!open, "it stays open: {}", service.so_far());
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    stopped(service);
}
