//! A service looks at keys with a TTL at its own pace: what it says of them is kept, and published when it changes. During a
//! run it says nothing.

use std::time::{Duration, Instant};

use coordinator::serve::ServedJob;
use coordinator::ttl_advice::{TtlLooks, TtlRequest};
use keysweep_model::ttl_advice::SampledTtlAdvice;
use keysweep_redis::Batch;
use keysweep_servers::Server;
use keysweep_storage::ttl_advice;
use keysweep_testkit::kit;
use keysweep_testkit::kit::service::{ServiceHere, job};
use serde_json::Value;

const EVERY: Duration = Duration::from_secs(1);

/// Keys whose TTL of an hour began at any time of the last 58 minutes: none expires during the test.
const KEYS: u64 = 1_500;

async fn seed(server: &Server) -> ServedJob {
    let options = kit::options(vec![server.url()]);
    let conns = kit::keys::conns(&options.access).await;
    let mut writes = Batch::new();
    for n in 0..KEYS {
        let (name, left) = (format!("permissions:{n}"), (120_000 + 3_480_000 * n / KEYS).to_string());
        writes.add(&[b"SET", name.as_bytes(), b"x", b"PX", left.as_bytes()]);
    }
    conns[0].batch(writes).await.unwrap();
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
