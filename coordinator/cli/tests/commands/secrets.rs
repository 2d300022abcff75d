//! No secret is ever shown. Every command runs with secrets of all kinds, at the highest verbosity, and with input
//! that provokes errors; then all output, logs, records in NATS, files and HTTP responses are searched for them.
//! Arguments are visible in process lists, so passwords have no flags.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use coordinator::options::Options;
use keysweep_cli::args::command;
use keysweep_config::{Environment, FlagLayer, JobFile, resolve};
use keysweep_model::secret::Secret;
use keysweep_nats::{Nats, NatsAuth, NatsOptions, NatsStore};
use keysweep_servers::Server;
use keysweep_storage::store::Store;
use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{WORKERS, file};
use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, Keysweep, Running, keysweep};

/// Unique words. Each is searched for in every form in which it might be shown.
const REDIS: &str = "canary-redis-4711";
const IN_URL: &str = "canary-url-4712";
const NATS: &str = "canary-nats-4713";
const API: &str = "canary-api-4714";
const HOOK: &str = "canary-hook-4715";
const SLACK: &str = "canary-slack-4716";
const SIGNING: &str = "canary-sign-4717";
const PROMETHEUS: &str = "canary-prom-4718";

/// Their common part.
const CANARY: &str = "canary-";

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    let found = bytes.windows(CANARY.len()).position(|part| part == CANARY.as_bytes());
    let around = found.map(|at| &bytes[at.saturating_sub(200)..bytes.len().min(at + 60)]);
    assert!(around.is_none(), "{what} shows a secret: …{}…", around.unwrap_or_default().escape_ascii());
}

#[track_caller]
fn quiet(ended: &Ended) {
    // Not the command line itself: some tests give it a URL with a password.
    clean("standard output", ended.stdout.as_bytes());
    clean("standard error", ended.stderr.as_bytes());
}

/// Searches everything below `folder`.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let each = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()),
        _ => {
            clean(&entry.path().display().to_string(), &std::fs::read(entry.path()).unwrap_or_default());
            1
        }
    });
    each.sum()
}

/// A deployment with passwords, and how commands connect to it.
struct Guarded {
    redis: Server,
    nats: NatsServer,
    config: String,
    state: String,
}

impl Guarded {
    async fn start() -> Self {
        let redis = Server::start(&DIGEST).await.unwrap();
        let place = TestDeployment::standalone(&redis).await;
        place.seed(300).await;
        place.all(&format!("CONFIG SET requirepass {REDIS}")).await;
        let login = format!("authorization {{ users: [{{ user: ks, password: \"{NATS}\" }}] }}");
        let nats = NatsServer::start(&login).await.unwrap();
        let state = file("secrets/state/x", "");
        let state = state.strip_suffix("/x").unwrap().to_owned();
        // The password in the URL is overridden, and shown no more than the others. No server listens at the webhooks.
        let url = redis.url().replace("redis://", &format!("redis://default:{IN_URL}@"));
        let config = file(
            "secrets/keysweep.toml",
            &format!(
                "[redis.main]\nurls = [\"{url}\"]\npassword = \"{REDIS}\"\n\
                 [nats]\nurl = \"{}\"\nuser = \"ks\"\npassword = \"{NATS}\"\n\
                 [serve]\napi_token = \"{API}\"\n\
                 [[job]]\nname = \"secret\"\nredis = \"main\"\ngrace = \"0s\"\nstate_dir = \"{state}\"\n\
                 webhooks = [\"http://u:{HOOK}@127.0.0.1:1/{HOOK}\"]\nwebhook_secret = \"{SIGNING}\"\n\
                 slack_webhooks = [\"http://127.0.0.1:1/services/{SLACK}\"]\n\
                 hit_rate = \"prometheus:http://u:{PROMETHEUS}@127.0.0.1:1\"\nhits_query = \"a\"\nmisses_query = \"b\"\n\
                 attempts = 1\nmax_speed = true\n",
                nats.url()
            ),
        );
        Self { redis, nats, config, state }
    }

    fn command(&self, words: &[&str], more: &[&str]) -> Keysweep {
        keysweep(&[words, &["-vv", "--config", &self.config], more].concat())
    }

    fn run(&self, words: &[&str], more: &[&str]) -> Ended {
        let ended = self.command(words, more).run();
        quiet(&ended);
        ended
    }

    fn role(&self, name: &str) -> Running {
        let mut role = self.command(&[name], &["--admin-addr", "127.0.0.1:0"]).start();
        role.wait_for(" is ready");
        role
    }
}

fn ask(address: &str, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: k\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Searches everything that we store in NATS.
async fn stored(server: &NatsServer) -> usize {
    let login = NatsAuth::Password("ks".to_owned(), Secret::new(NATS));
    let access = NatsOptions { login, ..NatsOptions::open(server.url()) };
    let nats = Nats::connect(&access, "a test", Some(Duration::from_secs(10))).await.unwrap();
    let store = NatsStore::new(nats);
    let mut entries = 0;
    for prefix in [
        "runs/",
        "locks/",
        "history/",
        "samples/",
        "alerts/",
        "audit/",
        "dead/",
        "events/",
        "failures/",
        "attempts/",
    ] {
        let mut revision = 0;
        while let Some(entry) = store.next_after(prefix, revision).await.unwrap() {
            clean(&entry.key, &entry.value);
            (revision, entries) = (entry.revision, entries + 1);
        }
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_shows_a_secret_and_nothing_that_is_kept_holds_one() {
    let place = Guarded::start().await;
    let yes = ["--yes", "--json"];
    place.run(&["config", "show"], &[]).exits(0);
    place.run(&["config", "show"], &["--json"]).exits(0);
    quiet(&keysweep(&["config", "check", &place.config, "-vv"]).run());
    place.run(&["nats", "setup"], &["--apply"]).exits(0);
    place.run(&["plan"], &[]).exits(0);
    let mut roles: Vec<Running> = WORKERS.iter().chain(&["serve"]).map(|name| place.role(name)).collect();
    let run = place.run(&["run"], &yes);
    run.exits(0);
    let id = run.json()["runId"].as_str().expect("an id").to_owned();
    for words in [
        &["runs", "list"][..],
        &["runs", "show", &id],
        &["runs", "attach", &id],
        &["runs", "report", &id],
        &["runs", "audit", &id],
        &["runs", "cancel", &id],
        &["stats"],
        &["events"],
    ] {
        place.run(words, &[]).exits(0);
    }
    let address = roles[3].admin_address();
    for path in ["/api/stats", "/api/runs", &format!("/api/runs/{id}"), "/metrics", "/readyz", "/api/nowhere"]
    {
        clean(path, ask(&address, path, API).as_bytes());
        clean(path, ask(&address, path, &format!("{API}x")).as_bytes());
    }
    // Errors: an unreachable server, a wrong password, an invalid setting.
    place.redis.kill().unwrap();
    place.run(&["run"], &yes);
    place.run(&["stats"], &[]);
    place.run(&["plan"], &["--redis", &format!("redis://x:{IN_URL}@127.0.0.1:1")]).exits(5);
    place.run(&["plan"], &["--redis", &format!("redis://x:{IN_URL}@127.0.0.1:none")]).exits(2);
    place.run(&["plan"], &["--redis", &format!("rediss//x:{IN_URL}@h")]).exits(2);
    let wrong =
        |name: &str| place.command(&["runs", "list"], &["--nats-user", "ks"]).env(name, "canary-wrong").run();
    for ended in [wrong("NATS_PASSWORD"), wrong("NATS_TOKEN")] {
        quiet(&ended);
    }
    place.run(&["runs", "list"], &["--nats", &format!("nats://ks:{NATS}x@{}", &place.nats.url()[7..])]);
    let broken =
        file("secrets/broken.toml", &format!("[redis.main]\npassword = \"{REDIS}\"\nurls = [\"{IN_URL}\n"));
    quiet(&keysweep(&["config", "check", &broken, "-vv"]).run());
    let strange = format!(
        "[redis.main]\npassword = [\"{REDIS}\"]\nurls = [\"redis://:{IN_URL}\"]\n[serve]\napi_token = 7\n"
    );
    quiet(&keysweep(&["config", "check", &file("secrets/strange.toml", &strange), "-vv"]).run());
    for role in roles.drain(..) {
        // No secret is on a command line.
        let pid = role.pid();
        clean("a list of processes", &std::fs::read(format!("/proc/{pid}/cmdline")).unwrap());
        role.signal("TERM");
        quiet(&role.end());
    }
    assert!(stored(&place.nats).await > 20, "there is something that could hold one");
    // A run in one process keeps its history and its report in files.
    let redis = Server::start(&[]).await.unwrap();
    TestDeployment::standalone(&redis).await.seed(50).await;
    redis.conn().await.unwrap().info_text(&format!("CONFIG SET requirepass {REDIS}")).await.unwrap();
    let url = redis.url().replace("redis://", &format!("redis://:{REDIS}@"));
    let flags = [
        "--redis",
        &url,
        "--state-dir",
        &place.state,
        "--yes",
        "--json",
        "-vv",
        "--grace",
        "0s",
        "--max-speed",
    ];
    let alone = keysweep(&[&["run"], &flags[..]].concat()).run();
    quiet(&alone);
    alone.exits(0);
    assert!(files(Path::new(&place.state)) >= 3, "history and reports are kept");
}

#[test]
fn no_flag_takes_a_secret_but_within_a_url() {
    let secret = ["password", "token", "secret", "pass", "auth"];
    let mut commands = vec![command()];
    while let Some(known) = commands.pop() {
        for long in known.get_arguments().filter_map(|arg| arg.get_long()) {
            let is_secret = long.split('-').any(|word| secret.contains(&word));
            assert!(
                !is_secret || long.ends_with("-file"),
                "`--{long}` would show in every list of processes"
            );
        }
        commands.extend(known.get_subcommands().cloned());
    }
}

/// Debug is for logs and failing tests: every type with a secret hides it there.
#[test]
fn debug_shows_no_secret() {
    let text = format!(
        "[redis.main]\nurls = [\"redis://default:{IN_URL}@h:1\"]\npassword = \"{REDIS}\"\n\
         [nats]\nurl = \"nats://u:{NATS}@h:4222\"\n[serve]\napi_token = \"{API}\"\n\
         [[job]]\nname = \"secret\"\nwebhooks = [\"http://u:{HOOK}@h/{HOOK}\"]\nwebhook_secret = \"{SIGNING}\"\n\
         slack_webhooks = [\"http://h/{SLACK}\"]\nhit_rate = \"prometheus:http://u:{PROMETHEUS}@h:1\"\n\
         hits_query = \"a\"\nmisses_query = \"b\"\n"
    );
    let file = JobFile::parse(Path::new("keysweep.toml"), &text).unwrap();
    let mut flags = FlagLayer::default();
    flags.values("--redis", &[format!("redis://:{IN_URL}@h:1")]);
    let env = Environment::from_pairs([("KEYSWEEP_NATS_PASSWORD", NATS)]);
    let settings = resolve(&flags, &env, Some(&file)).unwrap();
    let options = Options::from_settings(&settings).unwrap();
    let nats = NatsOptions::from_settings(settings.nats.as_ref().expect("NATS is set up"));
    let shown = format!(
        "{file:?} {flags:?} {env:?} {settings:?} {options:?} {nats:?} {:?} {:?} {:?}",
        options.access,
        options.integrations.clone(),
        settings.rows()
    );
    clean("Debug", shown.as_bytes());
    assert!(shown.contains("***"), "what is hidden is seen to be: {shown}");
}
