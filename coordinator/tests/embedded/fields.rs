//! Hashes without a TTL of their own whose fields expire: a plan, a dry run and a run do not count them as stale, and
//! neither does the check before the deletion. Only servers with such hashes are queried for them.

use std::collections::BTreeSet;

use coordinator::options::Options;
use keysweep_model::messages::{Action, DeleteBackend};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::slot::slot_of;
use keysweep_redis::{Batch, Conn, RedisClient, Reply};
use keysweep_servers::{Seeder, Server};
use keysweep_testkit::kit;
use keysweep_testkit::kit::backup::{self, Folder, restore};

use crate::changed_keys::{GRACE_MS, run_and_change};

/// Hashes of each kind.
const EACH: u64 = 250;

const TTL: &[u8] = b"3600000";

/// Whether `server` knows field TTLs; says so where it does not.
async fn knows_field_ttls(server: &Server) -> bool {
    let said = server.conn().await.unwrap().info_text("COMMAND INFO hpexpire").await.unwrap();
    let known =
        matches!(said, Reply::Array(commands) if commands.iter().any(|it| matches!(it, Reply::Array(_))));
    if !known {
        println!("skipped: this server knows no TTLs of fields");
    }
    known
}

fn name(kind: &str, n: u64) -> Vec<u8> {
    format!("permissions:{kind}:{n}").into_bytes()
}

/// A hash with the fields `a` and `b`, of which some expire.
async fn hash(seeder: &mut Seeder, key: &[u8], expiring: &[&[u8]]) {
    seeder.command(key, &[b"HSET", key, b"a", b"1", b"b", b"2"]).await.unwrap();
    if !expiring.is_empty() {
        let count = expiring.len().to_string();
        let head: [&[u8]; 5] = [b"HPEXPIRE", key, TTL, b"FIELDS", count.as_bytes()];
        seeder.command(key, &[&head[..], expiring].concat()).await.unwrap();
    }
}

/// So many hashes whose fields all expire, of which some expire, and of which none do; strings without and with a TTL;
/// and protected hashes whose fields expire.
async fn fill(options: &Options) {
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..EACH {
        hash(&mut seeder, &name("all", n), &[b"a", b"b"]).await;
        hash(&mut seeder, &name("some", n), &[b"a"]).await;
        hash(&mut seeder, &name("none", n), &[]).await;
        hash(&mut seeder, &name("system", n), &[b"a", b"b"]).await;
        seeder.set(&name("text", n), b"x", None).await.unwrap();
        seeder.set(&name("usual", n), b"x", Some(3_600_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

async fn left(options: &Options, kind: &str) -> u64 {
    let keys: Vec<Vec<u8>> = (0..EACH).map(|n| name(kind, n)).collect();
    kit::keys::existing(&options.access, &keys).await.len() as u64
}

/// Checks the figures about the keys of [`fill`].
fn check_numbers(result: &CleanupResult, action: Action) {
    let (writes, accounting) = (action.writes(), &result.accounting);
    assert_eq!((result.status, accounting.balanced), (Status::Completed, true), "{:?}", result.issues);
    // Protected keys are not asked: they stay whatever they are.
    assert_eq!((result.stale_ttl_keys, accounting.field_ttl), (4 * EACH, EACH), "{accounting:?}");
    assert_eq!((accounting.candidates, accounting.protected), (5 * EACH, EACH), "{accounting:?}");
    assert_eq!(result.scanned_keys, 6 * EACH);
    assert_eq!(result.cleaned_keys, if action == Action::Delete { 3 * EACH } else { 0 });
    assert_eq!(accounting.reported, if writes { 0 } else { 3 * EACH });
    let avg_ttl = result.current_metrics.avg_ttl.unwrap();
    assert!((3_500.0..=3_600.0).contains(&avg_ttl), "of keys that have a TTL of their own: {avg_ttl}");
}

/// The commands that ask about fields, as far as the server has counted some.
async fn asked(conn: &Conn) -> BTreeSet<&'static str> {
    let Reply::BulkString(text) = conn.info_text("INFO commandstats").await.unwrap() else {
        panic!("no text")
    };
    let text = String::from_utf8(text).unwrap();
    let names = ["type", "hrandfield", "hpttl"];
    names.into_iter().filter(|name| text.contains(&format!("cmdstat_{name}:"))).collect()
}

async fn all_actions(urls: Vec<String>) {
    for action in [Action::Report, Action::Expire { ttl_ms: 3_600_000, jitter_ms: 0 }, Action::Delete] {
        let mut options = kit::options(urls.clone());
        options.rules.action = action;
        options.dry_run = action == Action::Report;
        options.max_delete_percent = 100;
        fill(&options).await;
        let preflight = kit::preflight_of(&options).await;
        assert!(preflight.estimate.exact);
        assert_eq!(
            (preflight.estimate.stale_ttl_keys, preflight.estimate.protected_keys),
            (4 * EACH, EACH),
            "{action:?}"
        );
        check_numbers(&kit::run(&options).await, action);
        for (kind, stays) in
            [("all", true), ("system", true), ("usual", true), ("some", false), ("none", false)]
        {
            let expected = if stays || action != Action::Delete { EACH } else { 0 };
            assert_eq!(left(&options, kind).await, expected, "{kind} {action:?}");
        }
        for conn in kit::keys::conns(&options.access).await {
            conn.info_text("FLUSHALL").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_whose_fields_expire_stay_on_a_standalone_server() {
    let server = kit::standalone().await;
    if knows_field_ttls(&server).await {
        all_actions(vec![server.url()]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_whose_fields_expire_stay_on_a_cluster() {
    let cluster = kit::cluster().await;
    if knows_field_ttls(&cluster.nodes()[0]).await {
        all_actions(cluster.urls()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_with_field_ttls_are_queried_for_them() {
    let cluster = kit::cluster().await;
    if !knows_field_ttls(&cluster.nodes()[0]).await {
        return;
    }
    let options = Options { max_delete_percent: 100, ..kit::options(cluster.urls()) };
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..EACH {
        hash(&mut seeder, &name("none", n), &[]).await;
    }
    let one = name("all", 0);
    hash(&mut seeder, &one, &[b"a", b"b"]).await;
    seeder.finish().await.unwrap();
    for conn in kit::keys::conns(&options.access).await {
        conn.info_text("CONFIG RESETSTAT").await.unwrap();
    }
    let result = kit::run(&options).await;
    assert_eq!((result.cleaned_keys, result.accounting.field_ttl), (EACH, 1), "{:?}", result.accounting);
    let client = RedisClient::discover(options.access.clone()).await.unwrap();
    let topology = client.topology();
    let owner = topology.owner(slot_of(&one)).unwrap();
    for primary in &topology.primaries {
        let asked = asked(&client.conn(&primary.node).await.unwrap()).await;
        let expected = if primary.node == owner.node { 3 } else { 0 };
        assert_eq!(asked.len(), expected, "{asked:?}");
    }
}

async fn changed_before_its_deletion(way: DeleteBackend) {
    let server = kit::standalone().await;
    if !knows_field_ttls(&server).await {
        return;
    }
    let mut options = Options { max_delete_percent: 100, ..kit::options(vec![server.url()]) };
    options.rules.grace_ms = GRACE_MS;
    if way == DeleteBackend::Watch {
        let conn = server.conn().await.unwrap();
        conn.info_text("ACL SETUSER default -eval -evalsha -script").await.unwrap();
    }
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..EACH {
        hash(&mut seeder, &name("none", n), &[]).await;
    }
    seeder.finish().await.unwrap();
    let result = run_and_change(&options, async || {
        let mut seeder = Seeder::open(&options.access).await.unwrap();
        for n in 0..EACH / 2 {
            // The first field TTLs on this server.
            hash(&mut seeder, &name("none", n), &[b"a", b"b"]).await;
        }
        seeder.finish().await.unwrap();
    })
    .await;
    assert_eq!((result.status, result.delete_backend), (Status::Completed, way), "{:?}", result.issues);
    assert_eq!(
        (result.accounting.field_ttl, result.cleaned_keys),
        (EACH / 2, EACH / 2),
        "{:?}",
        result.accounting
    );
    assert!(result.accounting.balanced);
    assert_eq!(left(&options, "none").await, EACH / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_whose_fields_get_ttls_before_its_deletion_is_spared_by_the_script() {
    Box::pin(changed_before_its_deletion(DeleteBackend::Lua)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_whose_fields_get_ttls_before_its_deletion_is_spared_by_transactions() {
    Box::pin(changed_before_its_deletion(DeleteBackend::Watch)).await;
}

/// When the fields `a` and `b` of each key expire.
async fn expiries(conn: &Conn, keys: &[Vec<u8>]) -> Vec<Reply> {
    let mut batch = Batch::new();
    keys.iter().for_each(|key| batch.add(&[b"HPEXPIRETIME", key, b"FIELDS", b"2", b"a", b"b"]));
    conn.batch(batch).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_comes_back_with_the_ttls_of_its_fields() {
    let (server, folder) = (kit::standalone().await, Folder::new());
    if !knows_field_ttls(&server).await {
        return;
    }
    let mut options = backup::saving(kit::options(vec![server.url()]), &folder);
    options.max_delete_percent = 100;
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..EACH {
        hash(&mut seeder, &name("some", n), &[b"a"]).await;
    }
    seeder.finish().await.unwrap();
    let (conn, keys) = (server.conn().await.unwrap(), (0..EACH).map(|n| name("some", n)).collect::<Vec<_>>());
    let before = expiries(&conn, &keys).await;
    assert_eq!(kit::run(&options).await.cleaned_keys, EACH);
    assert_eq!(left(&options, "some").await, 0);
    assert_eq!(restore(&backup::order(&options, &folder)).await.restored, EACH);
    assert_eq!(expiries(&conn, &keys).await, before);
    assert!(
        matches!(&before[0], Reply::Array(fields) if fields[1] == Reply::Int(-1) && fields[0] != Reply::Int(-1))
    );
}
