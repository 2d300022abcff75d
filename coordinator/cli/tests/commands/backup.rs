//! `--backup` and `keysweep restore` on the command line: invalid targets, full disks, and kill -9 in the middle of
//! either.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use keysweep_backup as backup;
use keysweep_backup::{BackupEntry, FileKind, FileName, Header, Saved};
use keysweep_model::ids::{Alias, BatchId, NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_redis::{Reply, packed_string};
use keysweep_servers::Server;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, Running, keysweep, with_small_files};

/// A folder that does not exist yet.
fn folder(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // From an earlier run of the tests, if it exists.
    let _ = fs::remove_dir_all(&path);
    path.to_str().expect("the path is UTF-8").to_owned()
}

/// The files of a kind in `folder`.
fn files(folder: &str, ending: &str) -> usize {
    let runs = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = runs.flat_map(|run| fs::read_dir(run.path()).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|found| found == ending)).count()
}

fn run<'a>(place: &'a TestDeployment, folder: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["run", "--yes", "--json", "--grace", "0s", "--redis", place.url(), "--backup", folder];
    args.iter().chain(more).copied().collect()
}

fn restore(place: &TestDeployment, folder: &str, more: &[&str]) -> Ended {
    let args = ["restore", folder, "--json", "--redis", place.url()];
    keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_cannot_be_used() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(300).await;
    let before = place.digest().await;
    let check = |folder: &str, code, texts: &[&str]| {
        keysweep(&run(&place, folder, &[])).run().fails(code, texts);
    };
    check("/dev/null/backup", 2, &["`/dev/null/backup`", "nothing was deleted"]);
    check("/proc/backup", 2, &["`/proc/backup`", "nothing was deleted"]);
    check("s3://bucket", 2, &["`--backup`", "the path of a directory, or `nats://BUCKET`"]);
    check("nats://a/b", 2, &["`--backup`", "`nats://a/b`"]);
    check("nats://bucket", 2, &["`--backup nats://bucket` needs workers", "`--nats URL`"]);
    // A plan names the target, and creates nothing.
    let unmade = folder("unmade");
    let plan = keysweep(&["plan", "--redis", place.url(), "--backup", &unmade]).run();
    assert!(
        plan.exits(0).stdout.replace(['\n', ' '], "").contains(&format!("savedin{unmade}before")),
        "{plan}"
    );
    assert!(!std::path::Path::new(&unmade).exists());
    assert_eq!(place.digest().await, before);
    restore(&place, "/no/such/folder", &["--yes"]).fails(2, &["`/no/such/folder`", "No such file"]);
    let empty = folder("empty");
    fs::create_dir(&empty).unwrap();
    restore(&place, &empty, &["--yes"]).fails(2, &["contains no backup", "`--backup` of `keysweep run`"]);
    restore(&place, "nats://bucket", &["--yes"]).fails(2, &["`nats://bucket`", "`--nats URL`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_stops_the_run_and_nothing_is_lost() {
    let server = Server::start(&DIGEST).await.unwrap();
    let (place, folder) = (TestDeployment::standalone(&server).await, folder("full"));
    let stale = place.seed(20_000).await;
    let before = place.digest().await;
    // No file may be larger than 8 KiB: the first write fits, the keys of a batch do not.
    let ended = with_small_files(8 << 10, &run(&place, &folder, &["--state-dir", "none"])).run();
    let result = ended.exits(3).result("cancelled");
    let accounting = &result["accounting"];
    let undone = accounting["failed"].as_u64().unwrap() + accounting["unreached"].as_u64().unwrap();
    assert_eq!((result["cleanedKeys"].as_u64(), undone), (Some(0), stale), "{ended}");
    let issues = result["issues"].to_string();
    for text in ["no key is deleted without a backup", "failed to write", &folder, "File too large"] {
        assert!(issues.contains(text), "`{text}` is not in {issues}");
    }
    assert_eq!(place.digest().await, before);
    // With enough space, the same command succeeds.
    let result = keysweep(&run(&place, &folder, &[])).run().exits(0).result("completed");
    assert_eq!(result["cleanedKeys"], stale);
    restore(&place, &folder, &["--yes"]).exits(0);
    assert_eq!(place.digest().await, before);
}

/// Removes all keys of keysweep in Redis: after a kill -9 they would only expire.
async fn tidy(server: &Server) {
    let conn = server.conn().await.unwrap();
    let Reply::Array(keys) = conn.info_text("KEYS keysweep:*").await.unwrap() else {
        panic!("KEYS answers a list")
    };
    for key in keys {
        let Reply::BulkString(key) = key else { panic!("a key is bytes") };
        conn.command(&[b"UNLINK", &key]).await.unwrap();
    }
}

async fn dbsize(server: &Server) -> i64 {
    match server.conn().await.unwrap().info_text("DBSIZE").await.unwrap() {
        Reply::Int(keys) => keys,
        other => panic!("{other:?}"),
    }
}

/// Kills `running` when `look` returns true, which must happen before it ends.
async fn killed(mut running: Running, look: impl AsyncFn() -> bool) {
    while !look().await {
        assert!(!running.has_ended(), "it ended before it could be killed\n{}", running.so_far());
        sleep(Duration::from_millis(2));
    }
    running.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_middle_of_a_run_and_of_a_restoration() {
    let server = Server::start(&DIGEST).await.unwrap();
    let (place, folder, keys) = (TestDeployment::standalone(&server).await, folder("killed"), 60_000_u64);
    place.all(&format!("DEBUG POPULATE {keys} permissions 40")).await;
    let before = place.digest().await;
    // On a busy machine the pace would be that of minutes.
    let more = ["--max-delete-percent", "100", "--max-speed"];
    let running = keysweep(&run(&place, &folder, &more)).start();
    killed(running, async || files(&folder, "save") > 1).await;
    tidy(&server).await;
    let left = dbsize(&server).await.unsigned_abs();
    let result = keysweep(&run(&place, &folder, &more)).run().exits(0).result("completed");
    assert_eq!((result["cleanedKeys"].as_u64(), dbsize(&server).await), (Some(left), 0));
    let running = keysweep(&["restore", &folder, "--redis", place.url(), "--yes"]).start();
    killed(running, async || dbsize(&server).await > 0).await;
    let there = dbsize(&server).await.unsigned_abs();
    println!("killed with {left} of {keys} keys left, and with {there} back");
    let ended = restore(&place, &folder, &["--yes"]);
    let account = ended.exits(0).json();
    let number = |name: &str| account[name].as_u64().expect("a number");
    assert_eq!((number("existing"), number("restored")), (there, keys - there), "{ended}");
    assert_eq!((&account["balanced"], number("damaged")), (&true.into(), 0), "{ended}");
    assert_eq!(place.digest().await, before, "all is as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_sees() {
    let server = Server::start(&DIGEST).await.unwrap();
    let (place, folder) = (TestDeployment::standalone(&server).await, folder("seen"));
    let stale = place.seed(300).await;
    let before = place.digest().await;
    let args = ["run", "--yes", "--grace", "0s", "--redis", place.url(), "--backup", &folder];
    let ended = keysweep(&args).run();
    assert!(ended.exits(0).stdout.contains("  Backup  in "), "{ended}");
    // Off a terminal, no confirmation is possible.
    restore(&place, &folder, &[]).fails(4, &["`--dry-run`", "`--yes`"]);
    let looked = restore(&place, &folder, &["--dry-run"]);
    assert_eq!(looked.exits(0).json()["restorable"], stale);
    let only =
        keysweep(&["restore", &folder, "--redis", place.url(), "--yes", "--match", "permissions:1*"]).run();
    for text in ["restored", "filtered", "every key is accounted for"] {
        assert!(only.exits(0).stdout.contains(text), "`{text}` is not there\n{only}");
    }
    let wrong = restore(&place, &folder, &["--yes", "--run", "01890000-0000-7000-8000-000000000000"]);
    wrong.fails(2, &["contains no backup of run `01890000"]);
    assert_eq!(restore(&place, &folder, &["--yes", "--reason", "stale"]).exits(0).json()["balanced"], true);
    assert_eq!(place.digest().await, before);
}

/// What Redis 8.0 and Valkey 9.1 return for DUMP of a hash. No server version accepts both.
const HASHES: [(&str, &[u8]); 2] = [
    (
        "12, written by Redis 8.0",
        b"\x10\x15\x15\x00\x00\x00\x02\x00\x85field\x06\x85value\x06\xff\x0c\x00\x3a\x37\xd0\x0c\x9c\x93\x50\xf8",
    ),
    (
        "80, written by Valkey 9.1",
        b"\x10\x15\x15\x00\x00\x00\x02\x00\x85field\x06\x85value\x06\xff\x50\x00\x3e\x6b\x2d\x5d\xf8\xeb\xa9\x45",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_another_version_name_the_servers_that_accept_them() {
    let server = Server::start(&DIGEST).await.unwrap();
    let (place, folder) = (TestDeployment::standalone(&server).await, folder("versions"));
    save(&folder, "main", &HASHES).await;
    let ended = restore(&place, &folder, &["--yes"]);
    let account = ended.exits(3).json();
    let number = |name: &str| account[name].as_u64().unwrap();
    assert_eq!((number("restored") + number("failed"), &account["balanced"]), (2, &true.into()), "{ended}");
    assert!(number("failed") > 0, "{ended}");
    let causes = account["causes"].as_object().unwrap();
    assert_eq!(causes.len() as u64, number("failed"), "{ended}");
    for cause in causes.keys() {
        let named = HASHES.iter().any(|(named, _)| cause.contains(&format!("RDB format {named};")));
        assert!(named && cause.contains("DUMP payload version") && cause.contains("alone"), "{cause}");
    }
}

/// A backup in `folder`, of the deployment `alias`, as one run would write it.
async fn save(folder: &str, alias: &str, values: &[(&str, &[u8])]) {
    let (run, batch) = (RunId::new(), BatchId::new());
    let (alias, node, job) = (Alias::new(alias.to_owned()), NodeId::new("node".to_owned()), "job".to_owned());
    let mut saved = Saved::new(Header { run, job, alias, db: 0, node, batch, at_ms: 1 });
    for (index, (key, value)) in (0..).zip(values) {
        let (key, value) = (Key::new(*key), value.to_vec());
        saved.add(&BackupEntry { group: 1, index, reason: Reason::Stale, expires_at_ms: None, key, value });
    }
    let place = backup::BackupTarget::directory(folder);
    place.check().await.unwrap();
    let name = FileName { at_ms: 1, run, batch, attempt: 1, kind: FileKind::Save(0) };
    place.put(name, saved.finish().into(), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_names_its_deployment_among_several() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let (config, backup) = (folder("several.toml.d"), folder("several"));
    fs::create_dir(&config).unwrap();
    let config = format!("{config}/keysweep.toml");
    let url = place.url();
    let text = format!(
        "[redis.east]\nurls = [\"{url}\"]\n[redis.west]\nurls = [\"redis://127.0.0.1:1\"]\n\
         [[job]]\nname = \"a\"\nredis = \"east\"\n[[job]]\nname = \"b\"\nredis = \"west\"\n"
    );
    fs::write(&config, text).unwrap();
    let back = |more: &[&str]| {
        let args = ["restore", &backup, "--json", "--yes", "--config", &config];
        keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
    };
    back(&[]).fails(2, &["`/", "No such file"]);
    let value = packed_string(b"value");
    save(&backup, "east", &[("key", &value)]).await;
    assert_eq!(back(&[]).exits(0).json()["restored"], 1);
    // The job file does not have `north`, so it cannot be meant.
    save(&backup, "north", &[("north", &value)]).await;
    let ended = back(&[]);
    let account = ended.exits(0).json();
    assert_eq!((&account["existing"], &account["elsewhere"]), (&1.into(), &1.into()), "{ended}");
    save(&backup, "west", &[("key", &value)]).await;
    back(&[]).fails(2, &["keys of several deployments: `east`, `west`", "`--job`", "KEYSWEEP_REDIS_ALIAS"]);
    assert_eq!(back(&["--job", "a"]).exits(0).json()["existing"], 1);
    back(&["--redis", url]).fails(2, &["several jobs", "`--job`"]);
    fs::remove_dir_all(&backup).unwrap();
    save(&backup, "north", &[("north", &value)]).await;
    back(&[]).fails(2, &["has keys of `north`", "only `east`, `west`"]);
}
