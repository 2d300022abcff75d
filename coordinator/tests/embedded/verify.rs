//! `verify = "value"`: a key that is deleted and written again without a TTL within the grace stays, unless it has the
//! same value again; all others are deleted as usual.

use coordinator::drive::Progress;
use coordinator::embedded;
use coordinator::options::Options;
use keysweep_model::messages::{Action, ReadFrom, Verify};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_redis::Conn;
use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::kit::backup::{self, Folder, contents};
use keysweep_testkit::kit::population::{self, Population};
use keysweep_testkit::kit::{self, keys};

/// How a key of each type is made, and made with other content. `K` is its name; strings of `x` and `y` are repeated.
const TYPES: [(&str, &str, &str); 9] = [
    ("text", "SET K granted", "SET K refused"),
    ("long", "SET K xxxxx", "SET K yyyyy"),
    ("number", "SET K 12345", "SET K 12346"),
    ("retyped", "SET K granted", "RPUSH K granted"),
    ("hash", "HSET K a 1 b 2", "HSET K a 1 b 3"),
    ("list", "RPUSH K a b", "RPUSH K b a"),
    ("set", "SADD K a b", "SADD K a c"),
    ("zset", "ZADD K 1 a 2 b", "ZADD K 1 a 3 b"),
    ("stream", "XADD K 1-1 a 1", "XADD K 1-1 a 2"),
];

fn options(urls: Vec<String>) -> Options {
    let mut options = kit::options(urls);
    options.max_delete_percent = 100;
    (options.rules.verify, options.rules.grace_ms) = (Verify::Value, 4_000);
    options
}

/// A run within whose grace `change` is done, once all keys are read.
async fn within_grace(options: &Options, change: impl Future<Output = ()>) -> CleanupResult {
    let (env, preflight) = (embedded::context(options), Box::pin(kit::preflight_of(options)).await);
    let (sender, mut receiver) = kit::progress(&preflight);
    let running = Box::pin(embedded::run(&env, options, &preflight, sender));
    let changing = async {
        receiver.wait_for(|progress: &Progress| progress.waits().is_some()).await.expect("it waits");
        Box::pin(change).await;
    };
    let (result, ()) = kit::in_time(async { tokio::join!(running, changing) }).await;
    result.expect("the run has a result")
}

/// The key of a type with a fate, in a slot that follows from both.
fn key(kind: &str, outcome: &str) -> Vec<u8> {
    format!("permissions:{{{kind}{outcome}}}:x").into_bytes()
}

async fn make(seeder: &mut Seeder, key: &[u8], command: &str) {
    let words = command.split(' ').map(|word| match word.as_bytes() {
        b"K" => key.to_vec(),
        // More than what is read at first sight.
        b"xxxxx" | b"yyyyy" => word.repeat(2_000).into_bytes(),
        word => word.to_vec(),
    });
    let words: Vec<Vec<u8>> = words.collect();
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    seeder.command(key, &words).await.unwrap();
}

/// Keys of every type, of which some are left alone within the grace, some are gone, and some are written again.
async fn rewritten(options: &Options) {
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for (kind, made, _) in TYPES {
        for outcome in ["left", "gone", "same", "other"] {
            make(&mut seeder, &key(kind, outcome), made).await;
        }
    }
    seeder.finish().await.unwrap();
    let result = within_grace(options, async {
        let mut seeder = Seeder::open(&options.access).await.unwrap();
        for (kind, made, other) in TYPES {
            for (outcome, command) in [("gone", None), ("same", Some(made)), ("other", Some(other))] {
                let key = key(kind, outcome);
                seeder.command(&key, &[b"DEL", &key]).await.unwrap();
                if let Some(command) = command {
                    make(&mut seeder, &key, command).await;
                }
            }
        }
        seeder.finish().await.unwrap();
    })
    .await;
    let outcome = |outcome: &str| TYPES.map(|(kind, ..)| key(kind, outcome)).to_vec();
    let mut there: Vec<Vec<u8>> = contents(&options.access).await.into_keys().collect();
    let mut expected = outcome("other");
    there.sort();
    expected.sort();
    assert_eq!(there, expected, "{:?}", result.issues);
    let accounting = result.accounting;
    let count = TYPES.len() as u64;
    assert_eq!(
        (accounting.deleted, accounting.spared, accounting.vanished, accounting.balanced),
        (2 * count, count, count, true)
    );
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_with_other_content_stay_on_a_standalone_server() {
    let server = kit::standalone().await;
    rewritten(&options(vec![server.url()])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_with_other_content_stay_in_a_cluster_whose_replicas_are_read() {
    let cluster = ClusterServers::start(2, 1).await.unwrap();
    let urls = cluster.primaries().iter().map(Server::url).collect();
    let options = Options { read_from: ReadFrom::Replica { lag_max_ms: 60_000 }, ..options(urls) };
    rewritten(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_with_other_content_stay_where_no_scripts_are_run() {
    let renamed = ["EVAL", "EVALSHA", "SCRIPT"].map(|name| ["--rename-command", name, ""]).concat();
    let server = Server::start(&renamed).await.unwrap();
    rewritten(&options(vec![server.url()])).await;
}

/// What is saved is what was there at the scan, and nothing else is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_with_other_content_stay_where_deleted_ones_are_saved() {
    let (server, folder) = (kit::standalone().await, Folder::new());
    let options = backup::saving(options(vec![server.url()]), &folder);
    rewritten(&options).await;
    let account = backup::restore(&backup::order(&options, &folder)).await;
    assert_eq!((account.restored, account.existing), (2 * TYPES.len() as u64, 0), "{account:?}");
}

/// Our own look-ups are all known, so that the application's hit rate is true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_for_fingerprints_are_known() {
    let server = kit::standalone().await;
    let mut options = options(vec![server.url()]);
    options.rules.grace_ms = 0;
    backup::seed(&options.access, 500).await;
    let result = kit::run(&options).await;
    let metrics = &result.current_metrics;
    assert_eq!((metrics.hits, metrics.misses), (Some(0), Some(0)));
    assert!(result.cleaned_keys > 200 && result.status == Status::Completed, "{:?}", result.issues);
}

/// How often a server was asked for values.
async fn reads(conn: &Conn) -> bool {
    let said = format!("{:?}", conn.info_text("INFO commandstats").await.unwrap());
    ["cmdstat_dump", "cmdstat_getrange:calls=2"].iter().any(|command| said.contains(command))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_stays_and_is_named_and_a_dry_run_reads_no_value() {
    let server = kit::standalone().await;
    let mut options = options(vec![server.url()]);
    options.rules.grace_ms = 0;
    let conn = server.conn().await.unwrap();
    for (n, bytes) in [1 << 20 | 1, 1 << 19, 5].into_iter().enumerate() {
        let (key, value) = (format!("permissions:{n}"), vec![n as u8; bytes]);
        conn.command(&[b"SET", key.as_bytes(), &value]).await.unwrap();
    }
    let (action, before) = (options.rules.action, contents(&options.access).await);
    conn.info_text("CONFIG RESETSTAT").await.unwrap();
    (options.dry_run, options.rules.action) = (true, Action::Report);
    kit::run(&options).await;
    assert!(!reads(&conn).await, "a dry run compares nothing");
    (options.dry_run, options.rules.action) = (false, action);
    let result = kit::run(&options).await;
    assert_eq!((result.status, result.cleaned_keys, result.accounting.failed), (Status::Partial, 2, 1));
    assert!(result.accounting.balanced);
    let why = "keys larger than 1048576 bytes, and keys that the server does not send, have no fingerprint";
    assert!(result.issues.iter().any(|issue| issue.contains(why)), "{:?}", result.issues);
    let after = contents(&options.access).await;
    assert_eq!((before.len(), after.len()), (3, 1));
    assert!(after.contains_key(b"permissions:0".as_slice()));
    options.rules.verify = Verify::Ttl;
    assert_eq!(kit::run(&options).await.cleaned_keys, 1);
}

/// Keys of inactive users are compared, too; those that get a TTL are not, since nothing is lost by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_inactive_users_are_compared_and_those_that_get_a_ttl_are_not() {
    let server = kit::standalone().await;
    let mut options = population::options(vec![server.url()], population::zset());
    let population = Population::of(40);
    population.seed(&options.access).await;
    (options.rules.verify, options.rules.grace_ms) = (Verify::Value, 4_000);
    options.rules.action = Action::Expire { ttl_ms: 600_000, jitter_ms: 0 };
    let conn = server.conn().await.unwrap();
    let (kept, repaired) = (&population.inactive[..3], &population.stale[..2]);
    let result = within_grace(&options, async {
        for key in kept {
            conn.command(&[b"SET", key, b"another", b"KEEPTTL"]).await.unwrap();
        }
        for key in repaired {
            conn.command(&[b"SET", key, b"another"]).await.unwrap();
        }
    })
    .await;
    let accounting = result.accounting;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    assert_eq!(
        (accounting.deleted, accounting.spared, accounting.expired, accounting.balanced),
        (population.inactive.len() as u64 - 3, 3, population.stale.len() as u64, true)
    );
    assert_eq!(keys::existing(&options.access, &population.inactive).await.len(), 3);
    let ttls = keys::ask(&options.access, "PTTL", repaired).await;
    assert!(ttls.iter().all(|ttl| (0..=600_000).contains(ttl)), "{ttls:?}");
}

/// Without the setting, it is as it always was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_ttl_alone_a_key_that_was_written_again_is_deleted() {
    let server = kit::standalone().await;
    let mut options = options(vec![server.url()]);
    options.rules.verify = Verify::Ttl;
    let conn = server.conn().await.unwrap();
    conn.info_text("SET permissions:1:x granted").await.unwrap();
    let result = within_grace(&options, async {
        conn.info_text("DEL permissions:1:x").await.unwrap();
        conn.info_text("SET permissions:1:x refused").await.unwrap();
    })
    .await;
    assert_eq!(result.cleaned_keys, 1);
}
