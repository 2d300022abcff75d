//! Delivery of alerts: raised once, resolved once, to subscribers and to webhooks, even if some are down; and sources
//! of the hit rate with invalid values, which are reported and do not stop a run.

use std::sync::Arc;

use coordinator::options::Options;
use keysweep_http::{Integrations, JobIntegrations, PrometheusSource, Webhooks};
use keysweep_model::key::Key;
use keysweep_model::messages::HitRateSource;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::secret::Secret;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Seeder;
use keysweep_storage::alerts;
use keysweep_testkit::kit;
use keysweep_testkit::kit::net::{self, Counts, Net};
use serde_json::{Value, json};

use keysweep_testkit::receiver::{self, CannedReply, Receiver, unused_url};

pub async fn stale(options: &Options, keys: usize) {
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..keys {
        seeder.set(format!("permissions:{n}").as_bytes(), b"x", None).await.unwrap();
    }
    // Other keys, so that a run does not refuse to delete most of the keys.
    for n in 0..100 {
        seeder.set(format!("permissions:other:{n}").as_bytes(), b"x", Some(3_600_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

fn reach(context: Context, options: &Options, reach: JobIntegrations) -> Context {
    Context { integrations: Arc::new(Integrations::new([(options.job.clone(), reach)])), ..context }
}

async fn run(context: &Context, options: &Options) -> CleanupResult {
    let counts = Counts { scanners: 1, reapers: 1, reporters: 1 };
    let result = net::run_in(context, options, &kit::preflight_of(options).await, counts).await;
    net::freed(context, options).await;
    result
}

async fn events(context: &Context, job: &str) -> Vec<Value> {
    let (mut reported, mut revision) = (Vec::new(), 0);
    while let Some(entry) = context.store.next_after(&format!("events/{job}/alert/"), revision).await.unwrap()
    {
        revision = entry.revision;
        reported.push(serde_json::from_slice(&entry.value).unwrap());
    }
    reported
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_raised_once_and_resolved_once() {
    let (net, server) = (Net::start(Timing::default()).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let (hook, slack) = (
        Receiver::start([CannedReply::status(200)]).await,
        Receiver::start([CannedReply::status(200)]).await,
    );
    let hooks = Webhooks {
        generic: vec![Secret::new(hook.url())],
        secret: Some(Secret::new("word")),
        slack: vec![Secret::new(slack.url())],
    };
    let env = reach(net.env(&options).await, &options, JobIntegrations { hooks, prometheus: None });
    stale(&options, 11).await;
    let first = run(&env, &options).await;
    assert_eq!(first.alerts.len(), 1, "{:?}", first.alerts);
    assert_eq!(first.alerts[0].message, "Found 11 keys without TTL in one run (more than 10)");
    stale(&options, 25).await;
    let second = run(&env, &options).await;
    assert_eq!((second.alerts[0].id, &second.alerts[0].since), (first.alerts[0].id, &first.alerts[0].since));
    let third = run(&env, &options).await;
    assert_eq!(third.alerts, []);
    let reported = events(&env, &options.job).await;
    let types: Vec<&Value> = reported.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, [&json!("dev.keysweep.alert.raised.v1"), &json!("dev.keysweep.alert.resolved.v1")]);
    assert_eq!(reported[0]["data"]["evidence"]["staleTTLKeys"], 11);
    for receiver in [&hook, &slack] {
        assert_eq!(receiver.sent().len(), 2, "raised and resolved");
    }
    let posted: Value = serde_json::from_slice(&hook.sent()[0].body).unwrap();
    assert_eq!(
        (&posted["id"], &posted["data"]),
        (&reported[0]["id"], &reported[0]["data"]),
        "the same as for subscribers"
    );
    let book = alerts::read(&*env.history_store, &options.job).await.unwrap();
    assert_eq!((book.active, book.outbox, book.last_run), (vec![], vec![], Some(third.run_id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_webhook_is_reported_and_its_notification_waits() {
    let (net, server) = (Net::start(Timing::default()).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let hooks = Webhooks { generic: vec![Secret::new(unused_url().await)], ..Webhooks::default() };
    let env = reach(net.env(&options).await, &options, JobIntegrations { hooks, prometheus: None });
    stale(&options, 11).await;
    let result = run(&env, &options).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, 11));
    let issue = result.issues.iter().find(|issue| issue.contains("could not be delivered")).unwrap();
    assert!(issue.contains("http://127.0.0.1") && !issue.contains(receiver::SECRET), "{issue}");
    assert!(result.findings.iter().any(|finding| finding.rule == "alert-not-delivered"));
    let book = alerts::read(&*env.history_store, &options.job).await.unwrap();
    let ways: Vec<_> = book.outbox[0].deliveries.iter().collect();
    assert_eq!((book.active.len(), book.outbox.len(), ways.len()), (1, 1, 2), "{ways:?}");
    let (name, events, (place, hook)) = (ways[0].0, ways[0].1, ways[1]);
    assert_eq!((name.as_str(), events.done), ("events", true));
    assert!(place.starts_with("generic http://127.0.0.1:") && !place.contains(receiver::SECRET), "{place}");
    assert_eq!((hook.done, hook.tries, hook.claimed_at_ms), (false, 1, None));
}

/// The same run with each invalid source of hits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_sources_are_reported() {
    let (net, server) = (Net::start(Timing::default()).await, kit::standalone().await);
    let admin = kit::options(vec![server.url()]);
    let conn = &kit::keys::conns(&admin.access).await[0];
    let check = async |source: HitRateSource, prometheus: Option<String>, words: &str| {
        let mut options = kit::options(vec![server.url()]);
        options.application.hit_rate = source;
        let prometheus = prometheus.map(|url| PrometheusSource {
            url: Secret::new(url),
            hits: "sum(hits)".to_owned(),
            misses: "sum(misses)".to_owned(),
            errors: None,
        });
        let env = reach(
            net.env(&options).await,
            &options,
            JobIntegrations { prometheus, ..JobIntegrations::default() },
        );
        stale(&options, 3).await;
        let result = run(&env, &options).await;
        assert_eq!((result.status, result.cleaned_keys), (Status::Completed, 3));
        assert_eq!(result.current_metrics.hit_rate, None, "unknown is not 0 %");
        let named = result
            .issues
            .iter()
            .any(|issue| issue.starts_with("The hit rate is unknown") && issue.contains(words));
        assert!(named, "`{words}` is not in {:?}", result.issues);
    };
    let hash = || HitRateSource::Hash(Key::new(*b"metrics"));
    check(hash(), None, "there is no hash `metrics`").await;
    conn.info_text("SET metrics 1").await.unwrap();
    check(hash(), None, "WRONGTYPE").await;
    conn.info_text("DEL metrics").await.unwrap();
    conn.info_text("HSET metrics hits many misses 3").await.unwrap();
    check(hash(), None, "field `hits` of the hash `metrics` is `many`").await;
    conn.info_text("HDEL metrics misses").await.unwrap();
    conn.info_text("HSET metrics hits 1").await.unwrap();
    check(hash(), None, "has no field `misses`").await;
    let prometheus = || HitRateSource::Prometheus;
    check(prometheus(), Some(unused_url().await), "refused").await;
    let nothing = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let receiver = Receiver::start([CannedReply::body(nothing)]).await;
    check(prometheus(), Some(receiver.url()), "`sum(hits)` has no result").await;
    check(prometheus(), None, "name no Prometheus").await;
}

/// Counters of the application: in a hash, and in Prometheus, which also has errors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_applications_own_counters_are_used() {
    let (net, server) = (Net::start(Timing::default()).await, kit::standalone().await);
    let mut options = kit::options(vec![server.url()]);
    options.application.hit_rate = HitRateSource::Hash(Key::new(*b"metrics"));
    let conn = &kit::keys::conns(&options.access).await[0];
    let env = net.env(&options).await;
    conn.info_text("HSET metrics hits 1000 misses 1000 errors 5").await.unwrap();
    stale(&options, 1).await;
    run(&env, &options).await;
    conn.info_text("HSET metrics hits 1785 misses 1215 errors 30").await.unwrap();
    let result = run(&env, &options).await;
    let metrics = result.current_metrics;
    assert_eq!((metrics.hit_rate, metrics.hits, metrics.misses), (Some(78.5), Some(785), Some(215)));
    assert!(
        result.issues.contains(&"High cache error rate: 25 errors vs 785 hits".to_owned()),
        "{:?}",
        result.issues
    );
    assert_eq!(result.metrics.hit_rates.source, "hash");
    assert_eq!(result.alerts.iter().map(|alert| alert.alert.as_str()).collect::<Vec<_>>(), ["errors-high"]);
    // They decreased: the application was restarted.
    conn.info_text("HSET metrics hits 60 misses 40 errors 0").await.unwrap();
    let result = run(&env, &options).await;
    let since = result.metrics.hit_rates.since_last_run.unwrap();
    assert_eq!((since.hits, since.misses, since.errors, since.resets), (Some(60), Some(40), Some(0), 1));
    assert_eq!(result.alerts, [], "no errors since");
}
