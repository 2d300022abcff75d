//! Runs the example against real servers: it shows how runs end, as the user in `deploy/nats-account.conf`; with a
//! name, it shows each run only once.
#![cfg(test)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use coordinator::leader::{LeaderExit, run_as_leader};
use coordinator::lease::{self, LeasePhase, LeaseRecord};
use coordinator::options::Options;
use coordinator::serve::start_run;
use keysweep_config::{Environment, FlagLayer, resolve};
use keysweep_model::ids::RunId;
use keysweep_model::secret::Secret;
use keysweep_nats::{Nats, NatsAuth, NatsOptions, setup};
use keysweep_redis::Conn;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::nats_server::NatsServer;
use tokio_util::sync::CancellationToken;

const HANG: Duration = Duration::from_secs(60);

/// The running example. Dropping it kills it.
struct Subscriber {
    child: Child,
    lines: Receiver<String>,
}

impl Subscriber {
    fn start(nats: &NatsServer, args: &[&str]) -> Self {
        let login = "nats://keysweep-subscriber:replace-this-password-subscriber@";
        let mut command = Command::new(env!("CARGO_BIN_EXE_subscriber"));
        command.arg(nats.url().replace("nats://", login)).args(args).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (output, (sender, lines)) = (child.stdout.take().unwrap(), sync_channel(16));
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(HANG).expect("a line about the end of a run")
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn connect(nats: &NatsServer, user: &str) -> Nats {
    let login =
        NatsAuth::Password(format!("keysweep-{user}"), Secret::new(format!("replace-this-password-{user}")));
    let access = NatsOptions { login, ..NatsOptions::open(nats.url()) };
    Nats::connect(&access, "keysweep-test", Some(Duration::from_secs(10))).await.unwrap()
}

/// Like `nats consumer add` with the admin's login.
async fn make_consumer(nats: &NatsServer, name: &str) {
    let login = ("keysweep-admin".to_owned(), "replace-this-password-admin".to_owned());
    let admin = async_nats::ConnectOptions::with_user_and_password(login.0, login.1);
    let config = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: async_nats::jetstream::consumer::AckPolicy::Explicit,
        ..Default::default()
    };
    let js = async_nats::jetstream::with_domain(admin.connect(nats.url()).await.unwrap(), "keysweep");
    js.create_consumer_on_stream(config, "KEYSWEEP_EVENTS").await.unwrap();
}

/// One complete run, with all roles in this process.
async fn run(context: &Context, options: &Options) -> RunId {
    let run = start_run(context, options).await.unwrap().run();
    let (_, revision) = lease::read_lease(&*context.store, &options.job).await.unwrap().unwrap();
    let ours = LeaseRecord::begin(run, options.alias.clone(), LeasePhase::Driven, "a test");
    let held = lease::take(&*context.store, &options.job, Some(revision), ours).await.unwrap().unwrap();
    let ended = tokio::time::timeout(HANG, run_as_leader(context, held, &CancellationToken::new())).await;
    assert!(matches!(ended.expect("it hangs").unwrap(), LeaderExit::Ended(_)));
    run
}

async fn write_stale_key(conn: &Conn, n: u32) {
    conn.info_text(&format!("SET permissions:{n} granted")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_how_runs_end() {
    let account = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats-account.conf");
    let server = NatsServer::start(&std::fs::read_to_string(account).unwrap()).await.unwrap();
    let redis = Server::start(&[]).await.unwrap();
    let conn = redis.conn().await.unwrap();
    setup::ensure(&connect(&server, "admin").await).await.unwrap();
    make_consumer(&server, "pager").await;
    let mut flags = FlagLayer::default();
    flags
        .value("--redis", Some(&redis.url()))
        .value("--grace", Some("0s"))
        .value("--max-delete-percent", Some("100"));
    let settings = resolve(&flags, &Environment::default(), None).unwrap();
    let options = Options::from_settings(&settings).unwrap();
    let access = [(options.alias.clone(), options.access.clone())].into();
    let env = |nats: Nats| {
        coordinator::nats_context(&nats, std::collections::BTreeMap::clone(&access), Timing::default())
    };
    let (scanner, reaper) = (env(connect(&server, "scanner").await), env(connect(&server, "reaper").await));
    let (reporter, ours) =
        (env(connect(&server, "reporter").await), env(connect(&server, "coordinator").await));
    let stop = CancellationToken::new();
    let mut tasks = TaskGroup::default();
    let (scan, reap) =
        (scanner::Scanner::new(scanner, stop.clone()), reaper::Reaper::new(reaper, stop.clone()));
    tasks.start("scanner", async move { scan.run(2).await });
    tasks.start("reaper", async move { reap.run(2).await });
    let until = stop.clone();
    tasks.start("reporter", async move { reporter::run(&reporter, until).await });

    write_stale_key(&conn, 1).await;
    let first = run(&ours, &options).await;
    let expected = format!("permission-cache-cleanup {first} completed: 1 keys, 1 stale, 1 deleted");
    let (plain, named) = (Subscriber::start(&server, &[]), Subscriber::start(&server, &["pager"]));
    assert_eq!(plain.line(), expected);
    assert_eq!(named.line(), expected);
    write_stale_key(&conn, 2).await;
    write_stale_key(&conn, 3).await;
    let second = run(&ours, &options).await;
    let next = format!("permission-cache-cleanup {second} completed: 2 keys, 2 stale, 2 deleted");
    assert_eq!(plain.line(), next);
    assert_eq!(named.line(), next);
    // With its name it continues where it stopped.
    drop(named);
    let third = run(&ours, &options).await;
    let after = format!("permission-cache-cleanup {third} completed: 0 keys, 0 stale, 0 deleted");
    assert_eq!(Subscriber::start(&server, &["pager"]).line(), after);
    stop.cancel();
    assert!(tasks.join().await.is_empty());
}
