//! `keysweep inspect` on real servers with realistic data sets: what it prints is compared with what was written.

use std::collections::BTreeMap;

use keysweep_cli::inspect_page;
use keysweep_inspect::{Lifetime, Miner};
use keysweep_model::result::Coverage;
use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::populations::{KeyPopulation, PERMISSION_CACHE, POPULATIONS, PopulationKey, WEB_SHOP};
use reporter::KeyNamespaces;
use serde_json::{Value, json};

use crate::cli::keysweep;

const KEYS: u64 = 20_000;

/// Writes a data set, instead of what the servers had.
async fn written(urls: &[String], population: &'static KeyPopulation) -> Vec<PopulationKey> {
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
        assert!(row["memoryBytes"].is_null() && row["idle"].is_null() && row["owner"].is_null());
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
    assert!(page.exits(0).stdout.contains("0 keys in 0 namespaces; 0 of them have no TTL"), "{page}");
}

/// The namespaces of a data set, without a server.
fn mined(population: &'static KeyPopulation) -> KeyNamespaces {
    let mut miner = Miner::default();
    for PopulationKey { entry, .. } in population.keys(50_000, 1) {
        miner.add(&entry.key, entry.ttl_ms.map_or(Lifetime::Unlimited, Lifetime::Ms));
    }
    KeyNamespaces { found: miner.namespaces(), repeated_max: 0, approximate: false }
}

#[test]
fn the_page_of_a_web_shop() {
    let coverage = Coverage { complete: true, ..Coverage::default() };
    insta::assert_snapshot!("page-inspect", inspect_page::text(&mined(&WEB_SHOP), &coverage));
}

#[test]
fn the_page_of_a_permission_cache_that_was_not_read_completely() {
    let causes = [("10.0.0.3:6379 does not answer".to_owned(), 1)].into();
    let coverage = Coverage { missing: Some("0-5460".to_owned()), causes, ..Coverage::default() };
    let found = KeyNamespaces { repeated_max: 1_200, approximate: true, ..mined(&PERMISSION_CACHE) };
    let page = inspect_page::text(&found, &coverage);
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    insta::assert_snapshot!("page-inspect-partial", page);
}
