//! `keysweep inspect` on real servers with realistic data sets: what it prints is compared with what was written.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use keysweep_cli::inspect_page;
use keysweep_cli::inspect_page::view::{Inspected, InspectedDatabase, Selection, SortKey};
use keysweep_inspect::{KeyDetails, Lifetime, Miner, Sampling};
use keysweep_model::result::Coverage;
use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::populations::{KeyPopulation, PERMISSION_CACHE, POPULATIONS, PopulationKey, WEB_SHOP};
use reporter::KeyNamespaces;
use reporter::printer::terminal;
use serde_json::{Value, json};

use crate::cli::keysweep;

const KEYS: u64 = 20_000;

/// Writes a data set, instead of what the servers had.
pub async fn written(urls: &[String], population: &'static KeyPopulation) -> Vec<PopulationKey> {
    let mut seeder = Seeder::connect(urls).await.unwrap();
    for conn in seeder.conns() {
        conn.info_text("FLUSHALL").await.unwrap();
    }
    let keys: Vec<PopulationKey> = population.keys(KEYS, 1).collect();
    for key in &keys {
        seeder.entry(&key.entry).await.unwrap();
    }
    seeder.finish().await.unwrap();
    keys
}

fn inspected(url: &str) -> Value {
    keysweep(&["inspect", "--json", "--max-speed", "--redis", url]).run().exits(0).json()
}

/// Checks that the listed namespaces with at least a thousandth of the keys are found, with their exact counts.
fn check(found: &Value, population: &KeyPopulation, keys: &[PopulationKey]) {
    assert_eq!(found["totalKeys"], keys.len(), "{}", population.name);
    assert_eq!((&found["complete"], &found["other"]["keys"]), (&json!(true), &json!(0)));
    let mut truth: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (key, index) in keys.iter().filter_map(|key| Some((key, key.namespace?))) {
        let (all, no_ttl) = truth.entry(index).or_default();
        *all += 1;
        *no_ttl += u64::from(key.entry.ttl_ms.is_none());
    }
    for (index, (all, no_ttl)) in truth.into_iter().filter(|(_, (all, _))| *all >= KEYS / 1_000) {
        let listed = &population.namespaces[index];
        let rows = found["namespaces"].as_array().unwrap().iter();
        let rows: Vec<&Value> = rows.filter(|row| row["pattern"] == listed.pattern).collect();
        let [row] = rows.as_slice() else { panic!("{}: {}", listed.template, found) };
        // A few keys that exist once may share a pattern with a namespace.
        let more = row["keys"].as_u64().unwrap() - all;
        assert!(more <= 20, "{}: {row} for {all}", listed.template);
        assert_eq!(row["noTtl"].as_u64().unwrap() - no_ttl, more, "{}: {row}", listed.template);
        assert_eq!(row["keysMax"], row["keys"]);
        let longest = row["ttl"]["max"].as_f64();
        assert_eq!(longest.is_some(), all > no_ttl, "{}: {row}", listed.template);
        // All of so few keys are measured.
        let memory = &row["memoryBytes"];
        assert!(
            memory["low"].as_u64() > Some(0) && memory["low"] == memory["high"],
            "{}: {row}",
            listed.template
        );
        assert_eq!(memory["samples"], row["keys"]);
        assert!(
            row["idle"]["p50"].as_u64() < Some(60) && row["owner"].is_null(),
            "{}: {row}",
            listed.template
        );
        assert!(
            row["types"].as_object().is_some_and(|types| !types.is_empty()),
            "{}: {row}",
            listed.template
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_server_is_shown_by_namespace() {
    let server = Server::start(&[]).await.unwrap();
    for population in POPULATIONS {
        let keys = written(&[server.url()], population).await;
        check(&inspected(&server.url()), population, &keys);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_shown_by_namespace() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    for population in POPULATIONS {
        let keys = written(&cluster.urls(), population).await;
        let found = inspected(&cluster.urls()[0]);
        check(&found, population, &keys);
        assert_eq!(
            inspected(&cluster.urls()[1])["namespaces"].as_array().unwrap().len(),
            found["namespaces"].as_array().unwrap().len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_server_has_no_namespace() {
    let server = Server::start(&[]).await.unwrap();
    let found = inspected(&server.url());
    assert_eq!((&found["totalKeys"], &found["namespaces"]), (&json!(0), &json!([])));
    let page = keysweep(&["inspect", "--redis", &server.url()]).run();
    assert!(page.exits(0).stdout.contains("0 keys, 0 of them without TTL, in 0 namespaces"), "{page}");
}

/// All databases with keys are read, unless one is named; CSV and the page have what the JSON has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_databases_and_forms_of_output() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    let fill = "for i = 1, 300 do redis.call('SET', 'a:' .. i, 'x') end
                redis.call('SELECT', 3)
                for i = 1, 20 do redis.call('HSET', 'b:' .. i, 'f', string.rep('x', 500)) redis.call('EXPIRE', 'b:' .. i, 600) end";
    conn.command(&[b"EVAL", fill.as_bytes(), b"0"]).await.unwrap();
    let page = concat!(env!("CARGO_TARGET_TMPDIR"), "/namespaces.html");
    let url = server.url();
    let flags = ["inspect", "--json", "--max-speed", "--redis", &url, "--html", page];
    let ended = keysweep(&flags).run();
    // Alerts are for runs of the job.
    assert!(!ended.exits(0).stderr.contains("alert"), "{ended}");
    let found = ended.json();
    assert_eq!((&found["databases"], &found["totalKeys"]), (&json!([0, 3]), &json!(320)));
    let rows = found["namespaces"].as_array().unwrap();
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("pattern"), ["a:*", "b:*"]);
    assert_eq!((column("db"), column("noTtl")), (vec![json!(0), json!(3)], vec![json!(300), json!(0)]));
    let types: Vec<_> =
        column("types").iter().map(|types| types.as_object().unwrap().keys().next().cloned()).collect();
    assert_eq!(types, [Some("string".to_owned()), Some("hash".to_owned())]);
    let command = found["suggestions"][0]["command"].as_str().unwrap().to_owned();
    assert_eq!(command, format!("keysweep plan --redis {url} --pattern 'a:*' --db 0"));
    let plan = shlex::split(&command).unwrap();
    keysweep(&plan[1..].iter().map(String::as_str).collect::<Vec<_>>()).run().exits(0);
    let largest = &found["largest"];
    assert_eq!(largest["ofAllKeys"], true);
    assert_eq!(largest["keys"].as_array().unwrap().len(), 10);
    let first = &largest["keys"][0];
    assert_eq!(
        (&first["db"], &first["type"], &first["template"]),
        (&json!(3), &json!("hash"), &json!("b:{id}"))
    );
    assert!(first["key"].as_str().is_some_and(|key| key.starts_with("b:")), "{first}");
    let html = std::fs::read_to_string(page).unwrap();
    let parts = ["0: a:{id}", "3: b:{id}", "<svg", "Largest keys"];
    assert!(parts.iter().all(|part| html.contains(part)), "{html}");
    let flags = ["inspect", "--csv", "--max-speed", "--redis", &url, "--sort", "no-ttl", "--top", "1"];
    let csv = keysweep(&[&flags[..], &["--depth", "1"]].concat()).run().exits(0).stdout.clone();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("db,template,pattern,keys,"), "{csv}");
    assert!(lines[1].starts_with("0,a:*,a:*,300,300,300,0,"), "{csv}");
    let one = keysweep(&["inspect", "--json", "--max-speed", "--redis", &url, "--db", "3"]).run();
    assert_eq!(one.exits(0).json()["totalKeys"], 20);
    let only = keysweep(&["inspect", "--json", "--max-speed", "--redis", &url, "--only-no-ttl"]).run();
    assert_eq!(only.exits(0).json()["namespaces"].as_array().unwrap().len(), 1);
}

/// A signal ends the database that is read, and those that follow are named as unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_leaves_databases_unread() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    let fill = "redis.call('SET', 'a', 'x')
                redis.call('SELECT', 3)
                for i = 1, 10000 do redis.call('SET', 'b:' .. i, 'x') end
                redis.call('SELECT', 5)
                redis.call('SET', 'c', 'x')";
    conn.command(&[b"EVAL", fill.as_bytes(), b"0"]).await.unwrap();
    let running = keysweep(&["inspect", "--json", "--rate-limit", "500", "--redis", &server.url()]).start();
    let lists = |line: &str| line.contains("name=keysweep-lists") && line.contains("db=3");
    while !conn.info_text("CLIENT LIST").await.is_ok_and(|reply| format!("{reply:?}").split("id=").any(lists))
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.signal("TERM");
    let found = running.end().exits(143).json();
    // The second one may have been planned only.
    let part = (&found["databases"], &found["unread"]);
    let either = [(&json!([0, 3]), &json!([5])), (&json!([0]), &json!([3, 5]))];
    assert!(either.contains(&part), "{found}");
    assert_eq!(found["complete"], false);
    assert!(found["missing"].as_str().is_some_and(|missing| missing.ends_with(" 5")), "{found}");
    assert!(found["totalKeys"].as_u64() < Some(10_001), "{found}");
}

/// A server that closes every connection is asked by `inspect` as often as by `plan`.
#[test]
fn a_server_that_does_not_answer_is_asked_once() {
    let asked = |command: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let (mut running, mut times) = (keysweep(&[command, "--redis", &url]).start(), 0);
        loop {
            let has_ended = running.has_ended();
            while listener.accept().is_ok() {
                times += 1;
            }
            if has_ended {
                running.end().exits(5);
                return times;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    assert_eq!(asked("inspect"), asked("plan"));
}

/// What the server does not say is null: idle times under an LFU policy, and memory if it is denied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_denies_is_null() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lfu"]).await.unwrap();
    let conn = server.conn().await.unwrap();
    conn.info_text("ACL SETUSER default -memory").await.unwrap();
    conn.info_text("SET a:1 x").await.unwrap();
    conn.info_text("SET a:2 x").await.unwrap();
    let found = inspected(&server.url());
    let row = &found["namespaces"][0];
    assert_eq!(
        (&row["keys"], &row["memoryBytes"], &row["idle"]),
        (&json!(2), &Value::Null, &Value::Null),
        "{row}"
    );
    assert_eq!(row["types"], json!({ "string": 2 }));
    assert!(found["memory"]["bytes"].is_null(), "{found}");
    assert!(found["memory"]["refused"].as_str().is_some_and(|why| why.contains("memory")), "{found}");
}

/// Beyond the keys that are all measured by default, the sample is bounded, and `--memory full` is exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_many_keys_is_sampled_unless_it_is_asked_for() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    let fill = "for i = 1, 10000 do redis.call('SET', 'a:' .. ARGV[1] .. i, string.rep('x', i % 2000)) end";
    for part in 10..26 {
        conn.command(&[b"EVAL", fill.as_bytes(), b"0", part.to_string().as_bytes()]).await.unwrap();
    }
    let memory = |more: &[&str]| {
        let url = server.url();
        let flags = [&["inspect", "--json", "--max-speed", "--redis", &url][..], more].concat();
        keysweep(&flags).run().exits(0).json()["namespaces"][0]["memoryBytes"].clone()
    };
    let (sampled, full) = (memory(&[]), memory(&["--memory", "full"]));
    let number = |of: &Value, field: &str| of[field].as_u64().unwrap();
    assert_eq!((&full["samples"], &full["low"]), (&json!(160_000), &full["high"]), "{full}");
    let truth = number(&full, "estimate");
    assert!((500..4_000).contains(&number(&sampled, "samples")), "{sampled}");
    assert!(number(&sampled, "low") <= truth, "{sampled} for {truth}");
    assert!(sampled["high"].as_u64().is_none_or(|high| high >= truth), "{sampled} for {truth}");
    assert!(number(&sampled, "estimate").abs_diff(truth) < truth / 8, "{sampled} for {truth}");
}

/// The namespaces of a data set, without a server.
fn mined(population: &'static KeyPopulation) -> KeyNamespaces {
    let mut miner = Miner::sampling(Sampling::of(50_000));
    for PopulationKey { entry, .. } in population.keys(50_000, 1) {
        let lifetime = entry.ttl_ms.map_or(Lifetime::Unlimited, Lifetime::Ms);
        if let Some(chosen) = miner.add(&entry.key, lifetime) {
            let details = KeyDetails { bytes: Some(200), kind: Some("string"), idle_s: Some(700_000) };
            miner.measured(&entry.key, chosen, details);
        }
    }
    KeyNamespaces {
        found: miner.namespaces(None),
        used_memory: Some(12_000_000),
        memory_refused: None,
        repeated_max: 0,
        approximate: false,
    }
}

/// The page of one database.
fn page(namespaces: KeyNamespaces, coverage: Coverage, selection: Selection) -> String {
    let databases = vec![InspectedDatabase { db: 0, namespaces, coverage }];
    let connection = "--redis=redis://cache:6379".to_owned();
    let found = Inspected { databases, unread: Vec::new(), connection, files: Vec::new() };
    terminal::blocks(&inspect_page::blocks(&found, selection))
}

#[test]
fn the_page_of_a_web_shop() {
    let coverage = Coverage { complete: true, ..Coverage::default() };
    insta::assert_snapshot!("page-inspect", page(mined(&WEB_SHOP), coverage, Selection::default()));
}

#[test]
fn the_page_of_a_permission_cache_that_was_not_read_completely() {
    let causes = [("10.0.0.3:6379 does not answer".to_owned(), 1)].into();
    let coverage = Coverage { missing: Some("0-5460".to_owned()), causes, ..Coverage::default() };
    let refused = Some("NOPERM this user has no permissions to run the 'memory' command".to_owned());
    let found = KeyNamespaces {
        repeated_max: 1_200,
        approximate: true,
        memory_refused: refused,
        ..mined(&PERMISSION_CACHE)
    };
    let page = page(found, coverage, Selection { top: Some(3), sort: SortKey::NoTtl, only_no_ttl: true });
    // Commands are not wrapped, so that they can be copied.
    let mut lines = page.lines().filter(|line| !line.starts_with("    keysweep "));
    assert!(lines.all(|line| line.chars().count() <= 80), "{page}");
    insta::assert_snapshot!("page-inspect-partial", page);
}
