//! NATS in all configurations: every way to log in, TLS, contexts of its command line tool, domains, prefixes and
//! kinds of storage, each with a whole run by workers in their own processes.

use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{Broker, file};
use crate::cli::certificates::Certificates;
use crate::cli::jwt::Operator;
use crate::cli::{SECRET, keysweep};

async fn nats(config: &str) -> NatsServer {
    NatsServer::start(config).await.expect("a nats-server can be started")
}

/// Checks that a command with a bad login or bad files fails soon, and shows no secret.
#[track_caller]
fn refused(flags: &[&str], env: &[(&str, &str)], texts: &[&str]) {
    let args: Vec<&str> = ["nats", "setup", "--json"].iter().chain(flags).copied().collect();
    let command = env.iter().fold(keysweep(&args), |command, (name, value)| command.env(name, value));
    let ended = command.run();
    ended.fails(2, texts);
    assert!(ended.took.as_secs() < 4, "permanent errors are not retried\n{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_and_password() {
    let server = nats(&format!("authorization {{ users: [{{ user: ks, password: \"{SECRET}\" }}] }}")).await;
    let url = server.url();
    let with_login = url.replace("nats://", &format!("nats://ks:{SECRET}@"));
    Broker::start(&["--nats", &with_login]).await.whole_run();
    let broker = Broker::start(&["--nats", &url, "--nats-user", "ks"]).await.env("NATS_PASSWORD", SECRET);
    broker.whole_run();
    let hint = "check the login";
    let wrong = file("wrong-password", &format!("{SECRET}-not\n"));
    refused(&["--nats", &url, "--nats-user", "ks", "--nats-password-file", &wrong], &[], &[&url, hint]);
    refused(&["--nats", &url], &[("NATS_TOKEN", SECRET)], &["authorization violation", hint]);
    refused(&["--nats", &url], &[], &["authorization violation", hint]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token() {
    let server = nats(&format!("authorization {{ token: \"{SECRET}\" }}")).await;
    let token = file("token", &format!("{SECRET}\n"));
    let broker = Broker::start(&["--nats", &server.url(), "--nats-token-file", &token]).await;
    broker.whole_run();
    let url = server.url().replace("nats://", &format!("nats://{SECRET}@"));
    keysweep(&["nats", "setup", "--json", "--nats", &url]).run().exits(0);
    keysweep(&["nats", "setup", "--nats", &server.url()]).env("NATS_TOKEN", SECRET).run().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nkey() {
    let key = nkeys::KeyPair::new_user();
    let server = nats(&format!("authorization {{ users: [{{ nkey: {} }}] }}", key.public_key())).await;
    let url = server.url();
    let seed = file("user.nk", &format!("{}\n", key.seed().expect("a pair of our own")));
    Broker::start(&["--nats", &url, "--nats-nkey", &seed]).await.whole_run();
    let other = nkeys::KeyPair::new_user().seed().expect("a pair of our own");
    let other = file("other.nk", &other);
    refused(&["--nats", &url, "--nats-nkey", &other], &[], &["authorization violation"]);
    let empty = file("empty.nk", "nothing\n");
    refused(&["--nats", &url, "--nats-nkey", &empty], &[], &[&empty, "no nkey seed"]);
    refused(&["--nats", &url, "--nats-nkey", "/no/such.nk"], &[], &["/no/such.nk", "No such file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_an_operator() {
    let operator = Operator::new();
    let server = nats(&operator.config()).await;
    let url = server.url();
    let creds = file("user.creds", &operator.creds());
    Broker::start(&["--nats", &url, "--nats-creds", &creds]).await.whole_run();
    let strange = file("strange.creds", &Operator::new().creds());
    refused(&["--nats", &url, "--nats-creds", &strange], &[], &["authorization violation"]);
    let broken = file("broken.creds", "-----BEGIN NATS USER JWT-----\n");
    refused(&["--nats", &url, "--nats-creds", &broken], &[], &[&broken, "cannot use"]);
    refused(&["--nats", &url, "--nats-creds", "/no/such.creds"], &[], &["/no/such.creds", "No such file"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_client_certificate() {
    let ours = Certificates::make();
    let server = nats(&ours.config()).await;
    let tls = server.url().replace("nats://", "tls://");
    let (ca, cert, key) = (ours.path("ca.pem"), ours.path("client.pem"), ours.path("client.key"));
    let flags = ["--nats", &tls, "--nats-ca", &ca, "--nats-cert", &cert, "--nats-key", &key];
    Broker::start(&flags).await.whole_run();
    // The server requires TLS by itself.
    let mut plain = flags;
    let url = server.url();
    plain[1] = &url;
    keysweep(&[&["nats", "setup"], &plain[..]].concat()).run().exits(0);
    let hint = "check `--nats-ca`, `--nats-cert` and `--nats-key`";
    refused(&flags[..4], &[], &["the TLS handshake with NATS", hint]);
    refused(&flags[..2], &[], &["invalid peer certificate", hint]);
    let other = Certificates::make();
    let strange = [flags[0], flags[1], "--nats-ca", &other.path("ca.pem")];
    refused(&strange, &[], &["invalid peer certificate", hint]);
    let no_ca = [flags[0], flags[1], "--nats-ca", &key];
    refused(&no_ca, &[], &[&key, "contains no certificate"]);
    let swapped = ["--nats", &tls, "--nats-ca", &ca, "--nats-cert", &key, "--nats-key", &cert];
    refused(&swapped, &[], &[&key, "contains no certificate"]);
    let unlike = other.path("client.key");
    let unlike = ["--nats", &tls, "--nats-ca", &ca, "--nats-cert", &cert, "--nats-key", &unlike];
    refused(&unlike, &[], &["the TLS handshake with NATS"]);
    let deaf = nats("").await;
    refused(&["--nats", &deaf.url(), "--nats-ca", &ca], &[], &[&deaf.url(), "whether the server speaks TLS"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn context_of_the_nats_cli() {
    let server = nats(&format!("authorization {{ users: [{{ user: ks, password: \"{SECRET}\" }}] }}")).await;
    let context = serde_json::json!({
        "description": "", "url": server.url(), "user": "ks", "password": SECRET, "token": "", "creds": "",
        "nkey": "", "cert": "", "key": "", "ca": "", "jetstream_domain": "", "inbox_prefix": "",
    });
    let path = file("config/nats/context/prod.json", &context.to_string());
    let home = path.strip_suffix("/nats/context/prod.json").expect("it was made so");
    let broker = Broker::start(&["--nats-context", "prod"]).await.env("XDG_CONFIG_HOME", home);
    broker.whole_run();
    refused(&["--nats-context", "other"], &[("XDG_CONFIG_HOME", home)], &["other.json", "No such file"]);
}

/// Two fleets on one server are independent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_are_apart() {
    let server = nats("").await;
    let url = server.url();
    let one = Broker::start(&["--nats", &url, "--nats-prefix", "one"]).await;
    let two = Broker::start(&["--nats", &url, "--nats-prefix", "two"]).await;
    let at_two = two.workers();
    one.whole_run();
    let runs = |broker: &Broker| {
        let ended = broker.command(&["runs", "list"], &["--json"]).run();
        ended.exits(0).json()["runs"].as_array().expect("a list").len()
    };
    assert_eq!((runs(&one), runs(&two)), (1, 0));
    assert_eq!(two.run(&[]).exits(0).result("completed")["cleanedKeys"], two.stale);
    assert_eq!((runs(&one), runs(&two)), (1, 1));
    let events = one.command(&["events"], &[]).run();
    assert!(!events.exits(0).stdout.is_empty(), "{events}");
    drop(at_two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domain() {
    let server = nats("jetstream { domain: hub, max_file_store: 1TB }").await;
    let url = server.url();
    Broker::start(&["--nats", &url, "--nats-domain", "hub"]).await.whole_run();
    refused(&["--nats", &url, "--nats-domain", "leaf"], &[], &["`leaf`", "check `--nats-domain`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_replicas() {
    let server = nats("").await;
    let url = server.url();
    let flags = ["--nats", &url, "--nats-prefix", "mem"];
    let broker = Broker::start(&flags).await.env("KEYSWEEP_NATS_STORAGE", "memory");
    broker.whole_run();
    // With settings for file storage, the difference is reported, and everything works all the same.
    let other = keysweep(&[&["nats", "setup"], &flags[..]].concat()).run();
    other.exits(1);
    assert!(other.stdout.contains("storage is `memory`, not `file`"), "{other}");
    let three = keysweep(&["nats", "setup", "--apply", "--json", "--nats", &url]);
    let three = three.env("KEYSWEEP_NATS_REPLICAS", "3").run();
    three.fails(1, &["KEYSWEEP_TASKS", "replicas > 1 not supported", "set `[nats] replicas` to 1"]);
}

/// A stream reserves its bytes when it is created: with too little storage the error states how much is required.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_for_streams() {
    // Enough for the other streams, and not for the audit trail.
    let server = nats("jetstream { max_file_store: 220MB, max_memory_store: 1MB }").await;
    let setup = ["nats", "setup", "--apply", "--json", "--nats", &server.url()];
    let files = ["`KV_keysweep_audit`", "reserve 256 MiB", "`max_file_store`", "`[nats] audit_bytes`"];
    keysweep(&setup).run().fails(1, &files);
    let memory = keysweep(&setup).env("KEYSWEEP_NATS_PREFIX", "mem").env("KEYSWEEP_NATS_STORAGE", "memory");
    memory.run().fails(1, &["`MEM_TASKS`", "`max_memory_store`"]);
    let worker = keysweep(&["scanner", "--nats", &server.url(), "--redis", "redis://127.0.0.1:1"]).run();
    worker.exits(1);
    assert!(worker.stderr.contains("reserve 256 MiB"), "{worker}");
    keysweep(&setup).env("KEYSWEEP_NATS_AUDIT_BYTES", "1048576").run().exits(0);
}
