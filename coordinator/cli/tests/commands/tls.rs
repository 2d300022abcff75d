//! Redis over TLS: whole runs with client certificates, and each kind of mismatch between client and server, with
//! cause and remedy.

use std::path::Path;

use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{Broker, file};
use crate::cli::certificates::Certificates;
use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, SECRET, keysweep};

/// A server with a second port for TLS, and its certificates.
struct Secured {
    ours: Certificates,
    server: Server,
    place: TestDeployment,
    url: String,
}

impl Secured {
    async fn start() -> Self {
        let ours = Certificates::make();
        let server = Server::start(&args(&ours)).await.unwrap();
        let place = TestDeployment::standalone(&server).await.over_tls(&[&server], &ours);
        let url = place.url().to_owned();
        Self { ours, server, place, url }
    }

    /// The server uses another certificate from now on.
    async fn shows(&self, name: &str) {
        let [cert, key] = ["pem", "key"].map(|end| self.ours.path(&format!("{name}.{end}")));
        self.place.all(&format!("CONFIG SET tls-cert-file {cert} tls-key-file {key}")).await;
    }

    fn plan(&self, flags: &[&str]) -> Ended {
        let client = self.ours.client();
        let client = client.iter().map(String::as_str);
        plan(&self.url, &client.chain(flags.iter().copied()).collect::<Vec<_>>())
    }
}

fn args(ours: &Certificates) -> Vec<&'static str> {
    // The test process ends soon, so leaking these few bytes is fine.
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    ours.redis().into_iter().map(leak).chain(DIGEST).collect()
}

fn plan(url: &str, flags: &[&str]) -> Ended {
    let args = ["plan", "--json", "-vv", "--redis", url];
    keysweep(&args.iter().chain(flags).copied().collect::<Vec<_>>()).env("REDISCLI_AUTH", "").run()
}

/// Refused as a configuration error, soon, and never retried.
#[track_caller]
fn refused(ended: &Ended, texts: &[&str]) {
    ended.fails(2, texts);
    assert!(ended.took.as_secs() < 4, "permanent errors are not retried\n{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_settings_from_file_variables_and_flags() {
    let there = Secured::start().await;
    let stale = there.place.seed(600).await;
    there.place.all(&format!("CONFIG SET requirepass {SECRET}")).await;
    let planned = there.plan(&["--user", "default"]);
    planned.fails(2, &["refused the user or the password"]);
    // In the job file, whose paths start in its directory.
    let dir = there.ours.path("");
    let job = format!(
        "[redis.main]\nurls = [\"{}\"]\npassword = \"{SECRET}\"\ncacert = \"ca.pem\"\ncert = \"client.pem\"\nkey = \"client.key\"\n",
        there.url
    );
    std::fs::write(Path::new(&dir).join("job.toml"), job).unwrap();
    let config = there.ours.path("job.toml");
    let planned = keysweep(&["plan", "--json", "-vv", "--config", &config]).run();
    assert_eq!(planned.exits(0).json()["staleTTLKeys"], stale);
    assert_eq!(planned.json()["insecure"], false);
    // As variables, and a complete run.
    let (ca, cert, key) =
        (there.ours.path("ca.pem"), there.ours.path("client.pem"), there.ours.path("client.key"));
    let command = keysweep(&["run", "--yes", "--json", "-vv", "--grace", "0s"]).env("REDIS_URL", &there.url);
    let command = command.env("KEYSWEEP_CACERT", &ca).env("KEYSWEEP_CERT", &cert).env("KEYSWEEP_KEY", &key);
    let ended = command.env("REDISCLI_AUTH", SECRET).run();
    assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], stale, "{ended}");
    assert!(!ended.stderr.contains("INSECURE") && !ended.stdout.contains("--insecure"), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_three_primaries() {
    let ours = Certificates::make();
    let cluster = ClusterServers::start_with(3, 0, &args(&ours), None).await.unwrap();
    let nodes: Vec<&Server> = cluster.nodes().iter().collect();
    let place = TestDeployment::cluster(&cluster).await.over_tls(&nodes, &ours);
    let stale = place.seed(3_000).await;
    let client = ours.client();
    let flags = client.iter().map(String::as_str);
    let args: Vec<&str> = ["run", "--yes", "--json", "-vv", "--grace", "0s", "--redis", place.url()]
        .into_iter()
        .chain(flags)
        .collect();
    let ended = keysweep(&args).run();
    let result = ended.exits(0).result("completed");
    assert_eq!(result["cleanedKeys"], stale, "{ended}");
    // Every node was reached at its TLS port.
    let reached = result["nodes"].as_array().expect("nodes").iter().map(|node| &node["address"]);
    let ports: Vec<String> = nodes.iter().filter_map(|node| node.tls_url()).collect();
    for address in reached {
        let url = format!("rediss://{}", address.as_str().unwrap_or_default());
        assert!(ports.contains(&url), "{url} is none of {ports:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_know_the_way_from_their_own_settings() {
    let Secured { ours, server, place, url } = Secured::start().await;
    let nats = NatsServer::start("").await.unwrap();
    let broker = Broker::at(server, place, &["--nats", &nats.url()]).await;
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| ours.path(name));
    let broker = broker.env("KEYSWEEP_CACERT", &ca).env("KEYSWEEP_CERT", &cert).env("KEYSWEEP_KEY", &key);
    assert_eq!(broker.env["REDIS_URL"], url);
    broker.whole_run();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_no_good() {
    let there = Secured::start().await;
    there.place.seed(100).await;
    let address = &there.url["rediss://".len()..];
    let (ours, other) = (&there.ours, Certificates::make());
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| ours.path(name));
    let (strange, its_cert, its_key) =
        (other.path("ca.pem"), other.path("client.pem"), other.path("client.key"));
    // The server's authority is not ours.
    let unknown = plan(&there.url, &["--cacert", &strange, "--cert", &cert, "--key", &key]);
    refused(&unknown, &[address, "its certificate was issued by", "`--cacert`"]);
    // Ours is not the server's.
    let foreign = plan(&there.url, &["--cacert", &ca, "--cert", &its_cert, "--key", &its_key]);
    refused(&foreign, &[address, "does not take our certificate", "`--cert`"]);
    let old = (ours.path("old.pem"), ours.path("old.key"));
    let old = plan(&there.url, &["--cacert", &ca, "--cert", &old.0, "--key", &old.1]);
    refused(&old, &[address, "our certificate has expired", "`--cert`"]);
    // We have none, and with both versions of TLS.
    refused(
        &plan(&there.url, &["--cacert", &ca]),
        &[address, "it wants a client certificate", "`--cert` and `--key`"],
    );
    there.place.all("CONFIG SET tls-protocols TLSv1.2").await;
    refused(
        &plan(&there.url, &["--cacert", &ca]),
        &[address, "wants a client certificate", "`--cert` and `--key`"],
    );
    assert_eq!(there.plan(&[]).exits(0).json()["staleTTLKeys"], 10);
    there.shows("old").await;
    refused(&there.plan(&[]), &[address, "its certificate has expired, on 2020-02-01"]);
    there.shows("first").await;
    refused(&there.plan(&[]), &[address, "its certificate is of version 1", "`subjectAltName`"]);
    there.shows("elsewhere").await;
    let wrong = ["its certificate is not for `127.0.0.1`, but for `elsewhere.test`", "`--sni`"];
    refused(&there.plan(&[]), &wrong);
    assert_eq!(there.plan(&["--sni", "elsewhere.test"]).exits(0).json()["staleTTLKeys"], 10);
    refused(&there.plan(&["--sni", "else.test"]), &["not for `else.test`, but for `elsewhere.test`"]);
    // Any certificate is accepted, and all output says so.
    there.shows("old").await;
    let insecure = ["--insecure", "--cert", &cert, "--key", &key];
    let planned = plan(&there.url, &insecure);
    assert_eq!(planned.exits(0).log_contains(&["INSECURE", "--insecure"]).json()["insecure"], true);
    let page = ["plan", "--redis", &there.url];
    let page = keysweep(&[&page[..], &insecure[..]].concat()).run();
    assert!(page.exits(0).stdout.contains("INSECURE"), "{page}");
    let run = ["run", "--yes", "--json", "--grace", "0s", "--redis", &there.url];
    let ended = keysweep(&[&run[..], &insecure[..]].concat()).run();
    let result = ended.exits(0).log_contains(&["INSECURE"]).result("completed");
    let issues = result["issues"].as_array().expect("a list");
    assert!(
        issues.iter().any(|issue| issue.as_str().is_some_and(|said| said.contains("`--insecure`"))),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_plain_ports_that_are_mixed_up() {
    let there = Secured::start().await;
    let plain = there.server.url();
    let client = there.ours.client();
    let flags: Vec<&str> = client.iter().map(String::as_str).collect();
    let to_plain = plain.replace("redis://", "rediss://");
    let ended = plan(&to_plain, &flags);
    refused(&ended, &[&plain["redis://".len()..], "speaks no TLS", "`redis://`"]);
    let to_tls = there.url.replace("rediss://", "redis://");
    refused(&plan(&to_tls, &[]), &[&to_tls["redis://".len()..], "speaks TLS only", "`rediss://`"]);
}

#[test]
fn files_and_flags_that_do_not_fit() {
    let (ours, other) = (Certificates::make(), Certificates::make());
    let url = "rediss://127.0.0.1:1";
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| ours.path(name));
    let check = |flags: &[&str], texts: &[&str]| refused(&plan(url, flags), texts);
    check(&["--cacert", "/no/such.pem"], &["/no/such.pem", "No such file"]);
    check(&["--cacert", &key], &[&key, "contains no certificate in PEM"]);
    check(&["--cacert", &ca, "--cert", &cert], &["`--cert` needs `key`", "`--key`"]);
    check(&["--cacert", &ca, "--cert", &cert, "--key", &cert], &[&cert, "contains no private key in PEM"]);
    let unlike = other.path("client.key");
    check(
        &["--cacert", &ca, "--cert", &cert, "--key", &unlike],
        &[&unlike, "not the key of the certificate", &cert],
    );
    let first = [ours.path("first.pem"), ours.path("first.key")];
    check(&["--cacert", &ca, "--cert", &first[0], "--key", &first[1]], &[&first[0], "of version 1"]);
    let broken =
        file("broken.pem", &format!("-----BEGIN PRIVATE KEY-----\n{SECRET}!\n-----END PRIVATE KEY-----\n"));
    check(&["--cacert", &ca, "--cert", &cert, "--key", &broken], &[&broken, "not valid PEM"]);
    check(&["--cacert", &ca, "--sni", "a b"], &["`--sni` is `a b`", "host name"]);
    let plain = plan("redis://127.0.0.1:1", &["--cacert", &ca]);
    refused(&plain, &["`--cacert` is about TLS", "`redis://127.0.0.1:1` asks for none", "`rediss://`"]);
    refused(&plan("redis://127.0.0.1:1", &["--insecure"]), &["`--insecure` is about TLS"]);
    let mixed = plan(url, &["--redis", "redis://127.0.0.1:2"]);
    refused(&mixed, &["`rediss://127.0.0.1:1` asks for TLS and `redis://127.0.0.1:2` does not"]);
}
