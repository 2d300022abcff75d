//! A service looks at keys with a TTL at its own pace: what it says of them is kept, and published when it changes. During a
//! run it says nothing. Keys of different rules are looked at apart.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coordinator::limits::TTL_MEASURED_ONE_IN;
use coordinator::options::Options;
use coordinator::serve::ServedJob;
use coordinator::ttl_advice::{TtlLooks, TtlRequest, ttl_advice as advise};
use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Policy, StatedRule};
use keysweep_model::ttl_advice::{SampledTtlAdvice, TtlAdvice};
use keysweep_redis::Batch;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_storage::ttl_advice;
use keysweep_testkit::kit;
use keysweep_testkit::kit::service::{ServiceHere, job};
use serde_json::Value;

const EVERY: Duration = Duration::from_secs(1);

/// Keys whose TTL of an hour began at any time of the last 58 minutes: none expires during the test.
const KEYS: u64 = 1_500;

const HOUR_MS: u64 = 3_600_000;

/// Writes keys of a kind: what is left of their TTLs lies evenly between two minutes and `ttl_ms`.
async fn write(options: &Options, kind: &str, keys: u64, ttl_ms: u64) {
    let mut writes = Batch::new();
    for n in 0..keys {
        let left = 120_000 + (ttl_ms - 120_000) * n / keys;
        writes.add(&[b"SET", format!("{kind}:{n}").as_bytes(), b"x", b"PX", left.to_string().as_bytes()]);
    }
    kit::keys::conns(&options.access).await[0].batch(writes).await.unwrap();
}

async fn seed(server: &Server) -> ServedJob {
    let options = kit::options(vec![server.url()]);
    write(&options, "permissions", KEYS, HOUR_MS).await;
    let request = TtlRequest { patterns: vec!["permissions:*".to_owned()], ..TtlRequest::default() };
    ServedJob { ttl_looks: TtlLooks { every: EVERY, request }, ..job(&options) }
}

async fn latest(service: &ServiceHere) -> Option<SampledTtlAdvice> {
    ttl_advice::of(&service.file().store(""), &service.job().options.job).await.unwrap()
}

/// The latest advice, once it is refused for this reason.
async fn refused(service: &ServiceHere, refusal: &str) -> SampledTtlAdvice {
    let began = Instant::now();
    loop {
        let found = latest(service).await;
        if let Some(found) = found.clone().filter(|found| found.advice.refusal.as_deref() == Some(refusal)) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{refusal}: {found:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_looks_say_is_kept_and_published_when_it_changes() {
    let server = Server::start(&["--save", "", "--appendonly", "no"]).await.unwrap();
    let mut service = ServiceHere::new(seed(&server).await);
    service.start();
    let first = refused(&service, "firstLook").await;
    let known = &first.advice.diagnostics;
    assert_eq!((known.current_ttl_seconds, known.sampled_keys), (Some(3_600.0), KEYS), "{first:#?}");
    let second = refused(&service, "tooFewRequests").await;
    assert!(second.at > first.at && second.advice.diagnostics.requests == Some(0), "{second:#?}");
    tokio::time::sleep(3 * EVERY).await;
    let later = refused(&service, "tooFewRequests").await;
    assert!(later.at > second.at, "{later:#?}");
    service.stop().await;

    // Its own lookups are not requests, and saying the same again is no event.
    let events = service.events("ttl_advice").await;
    let said: Vec<&Value> = events.iter().map(|event| &event["data"]["refusal"]).collect();
    assert_eq!(said, ["firstLook", "tooFewRequests"], "{events:#?}");
    assert!(events.iter().all(|event| event["type"] == "dev.keysweep.ttl_advice.v1"), "{events:#?}");
    assert_eq!(events[0]["data"], serde_json::to_value(&first).unwrap());

    // Another service goes on with the same panel.
    service.start();
    tokio::time::sleep(3 * EVERY).await;
    service.stop().await;
    assert_eq!(service.events("ttl_advice").await.len(), 2);
    assert!(latest(&service).await.unwrap().at > later.at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_shall_not_look_does_not() {
    let server = Server::start(&["--save", "", "--appendonly", "no"]).await.unwrap();
    let mut job = seed(&server).await;
    job.ttl_looks.every = Duration::ZERO;
    let mut service = ServiceHere::new(job);
    service.start();
    tokio::time::sleep(3 * EVERY).await;
    service.stop().await;
    assert_eq!((latest(&service).await, service.events("ttl_advice").await.len()), (None, 0));
    let calls = kit::keys::info(&service.job().options.access, "commandstats").await.concat();
    assert!(calls.contains("cmdstat_info") && !calls.contains("cmdstat_pexpiretime"), "{calls}");
}

/// For how many keys samples were taken: one in so many of them has its memory measured, and no others have.
async fn sampled(options: &Options) -> u64 {
    let stats = kit::keys::info(&options.access, "commandstats").await.concat();
    let measured = stats.lines().find_map(|line| line.strip_prefix("cmdstat_memory|usage:calls="));
    measured.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u64>().unwrap() * TTL_MEASURED_ONE_IN)
}

/// What the advice about each group is: its kind, its keys, their TTL in seconds, and why it is refused.
fn of_groups(advice: &TtlAdvice) -> Vec<(&str, &str, Option<f64>, Option<&str>)> {
    let groups = advice.groups.iter().map(|group| {
        let about = &group.advice;
        (&*group.by, &*group.keys, about.diagnostics.current_ttl_seconds, about.refusal.as_deref())
    });
    groups.collect()
}

#[tokio::test]
async fn keys_of_two_rules_are_looked_at_apart() {
    let server = Server::start(&["--save", "", "--appendonly", "no"]).await.unwrap();
    let rule = |pattern: &str, ttl_ms| StatedRule {
        matching: vec![Pattern::new(pattern).unwrap()],
        ttl_ms: Some(ttl_ms),
        ..StatedRule::default()
    };
    let mut options = kit::options(vec![server.url()]);
    let rules = vec![rule("page:*", HOUR_MS), rule("session:*", 10 * HOUR_MS)];
    options.rules.policy = Some(Policy { rules, ..Policy::default() });
    write(&options, "page", 16_000, HOUR_MS).await;
    write(&options, "session", 8_000, 10 * HOUR_MS).await;
    let access = BTreeMap::from([(options.alias.clone(), options.access.clone())]);
    let context = Context::in_process(access, Timing::default());
    // Of 4,000 keys it finds that they have several TTLs, and takes a larger sample; the next look knows.
    for (refusal, expected) in [("firstLook", 20_000), ("tooFewRequests", 16_000)] {
        let before = sampled(&options).await;
        let advice = advise(&context, &options, &TtlRequest::default()).await.unwrap();
        assert_eq!(advice.refusal.as_deref(), Some("severalTtls"), "{advice:#?}");
        let groups = [
            ("rule", "page:*", Some(3_600.0), Some(refusal)),
            ("rule", "session:*", Some(36_000.0), Some(refusal)),
        ];
        assert_eq!(of_groups(&advice), groups, "{advice:#?}");
        assert_eq!(sampled(&options).await - before, expected, "{refusal}");
    }
}
