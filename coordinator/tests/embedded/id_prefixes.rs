//! Ids that keys write differently from the activity source, in all of the keyspace or in a part of it: no active user
//! loses a cache, and the result and the audit trail report what was kept.

use std::sync::Arc;

use coordinator::options::Options;
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Reason};
use keysweep_model::result::Status;
use keysweep_model::slot::slot_of;
use keysweep_model::time::now_ms;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Seeder;
use keysweep_storage::audit::{EntryAudit, next_kept};
use keysweep_testkit::kit::population::{self, TTL_MS, WARMING};
use keysweep_testkit::kit::{self, keys};

/// Keys with a TTL, and the users who are active.
async fn seed(options: &Options, caches: &[Vec<u8>], active: impl Iterator<Item = String>) {
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for key in caches {
        seeder.set(key, b"read,write", Some(TTL_MS)).await.unwrap();
    }
    let now = (now_ms() / 1_000).to_string();
    for member in active {
        let args = [b"ZADD", WARMING.as_bytes(), now.as_bytes(), member.as_bytes()];
        seeder.command(WARMING.as_bytes(), &args).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

fn with_identity(urls: Vec<String>, identity: &str) -> Options {
    let mut options = population::options(urls, population::zset());
    options.inactive.as_mut().unwrap().identity = identity.to_owned();
    options
}

/// Caches on one node of a cluster whose users are known, every second of them active, and on another node caches whose
/// ids the source does not write like that.
struct Half {
    active: Vec<Vec<u8>>,
    inactive: Vec<Vec<u8>>,
    otherwise: Vec<Vec<u8>>,
}

impl Half {
    async fn seeded(options: &Options) -> Self {
        let tags = |node: std::ops::Range<u16>| {
            (0..100_000_u32).map(|n| n.to_string()).filter(move |tag| node.contains(&slot_of(tag.as_bytes())))
        };
        let cache = |(tag, id): (String, String)| format!("permissions:{{{tag}}}:{id}:x").into_bytes();
        let known: Vec<Vec<u8>> = tags(0..5_000).zip((0..600).map(|n| format!("u{n}"))).map(cache).collect();
        let otherwise = tags(11_000..16_000).zip((0..500).map(|n| format!("{n}-other"))).map(cache).collect();
        let (active, inactive) = known.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
        let half = Self { active, inactive, otherwise };
        let all = [&half.active, &half.inactive, &half.otherwise].map(Vec::as_slice).concat();
        seed(options, &all, (0..600).step_by(2).map(|n| format!("u{n}"))).await;
        half
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_meets_no_active_user_leaves_its_keys() {
    let cluster = kit::cluster().await;
    let options = with_identity(cluster.urls(), "permissions:*:{user}:x");
    let half = Half::seeded(&options).await;
    let result = kit::run(&options).await;
    assert_eq!(
        (result.inactive.no_active_user, result.inactive.found),
        (Some(500), Some(300)),
        "{:#?}",
        result.inactive
    );
    assert_eq!((result.cleaned_keys, result.inactive_user_caches), (300, 300));
    assert!(result.accounting.balanced && result.status == Status::Completed, "{:?}", result.issues);
    let shown = result
        .issues
        .iter()
        .any(|issue| issue.starts_with("500 keys of apparently inactive users were kept"));
    assert!(shown, "{:?}", result.issues);
    for (class, keys, left) in
        [("active", &half.active, 300), ("inactive", &half.inactive, 0), ("otherwise", &half.otherwise, 500)]
    {
        assert_eq!(keys::existing(&options.access, keys).await.len(), left, "{class}");
    }
    // Who knows that it may be so gets them removed, by the same plan.
    let mut allowed = options;
    allowed.inactive.as_mut().unwrap().allow_no_active = true;
    let result = kit::run(&allowed).await;
    assert_eq!((result.inactive.no_active_user, result.cleaned_keys), (Some(0), 500), "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_trail_of_a_dry_run_does_not_name_what_would_be_left() {
    let cluster = kit::cluster().await;
    let mut options = with_identity(cluster.urls(), "permissions:*:{user}:x");
    (options.dry_run, options.rules.action) = (true, Action::Report);
    let half = Half::seeded(&options).await;
    let env = kit::env(&options, Timing::default());
    let env = Context { audit: Some(Arc::new(EntryAudit(Arc::clone(&env.history_store)))), ..env };
    let preflight = kit::preflight_of(&options).await;
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert_eq!(
        (result.inactive.no_active_user, result.accounting.reported),
        (Some(500), 300),
        "{:?}",
        result.issues
    );
    let (mut named, mut revision) = (Vec::new(), 0);
    while let Some(next) = next_kept(&*env.history_store, Some(result.run_id), revision).await.unwrap() {
        let entry = next.entry;
        revision = next.revision;
        assert_eq!(entry.unnamed, 0);
        assert!(entry.groups.iter().all(|group| group.reason == Reason::Inactive));
        named.extend(entry.groups.into_iter().flat_map(|group| group.keys));
    }
    named.sort();
    let mut expected: Vec<Key> = half.inactive.iter().map(|key| Key::new(key.as_slice())).collect();
    expected.sort();
    assert_eq!(named, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_that_only_keys_have_makes_no_user_inactive() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for (urls, written) in [
        (vec![server.url()], "user:"),
        (cluster.urls(), "user:"),
        (vec![server.url()], "app:user:"),
        (vec![server.url()], "u"),
    ] {
        let options = with_identity(urls, "permissions:{user}:*");
        let caches: Vec<Vec<u8>> =
            (0..400).map(|n| format!("permissions:{written}{n}:x").into_bytes()).collect();
        seed(&options, &caches, (0..400).step_by(2).map(|n| n.to_string())).await;
        let result = kit::run(&options).await;
        assert_eq!(result.inactive.refused, None);
        assert_eq!((result.cleaned_keys, result.inactive.no_active_user), (200, Some(0)), "{written}");
        let active: Vec<Vec<u8>> = caches.iter().step_by(2).cloned().collect();
        assert_eq!(keys::existing(&options.access, &active).await.len(), 200, "{written}");
        keys::ask(&options.access, "DEL", &active).await;
    }
}
