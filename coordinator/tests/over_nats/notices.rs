//! Alert notifications with two reporters and a receiver that is down for a while: one order, whichever process
//! delivers, and each event once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::options::Options;
use keysweep_http::{Integrations, JobIntegrations, Webhooks};
use keysweep_model::secret::Secret;
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::alerts;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use keysweep_testkit::kit::subscriber::Subscriber;
use reporter::alerting;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::alerts::stale;
use keysweep_testkit::receiver::{CannedReply, Receiver};

const NO_REPORTER: Counts = Counts { scanners: 1, reapers: 1, reporters: 0 };
const REPORTER: Counts = Counts { scanners: 0, reapers: 0, reporters: 1 };

/// Two processes that know the webhooks, with their own connections.
async fn pair(net: &Net, options: &Options, receivers: &[&Receiver]) -> [Context; 2] {
    let generic = receivers.iter().map(|receiver| Secret::new(receiver.url())).collect();
    let hooks = Webhooks { generic, ..Webhooks::default() };
    let reach = JobIntegrations { hooks, prometheus: None };
    let outside = Arc::new(Integrations::new([(options.job.clone(), reach)]));
    let with = async || Context { integrations: Arc::clone(&outside), ..net.env(options).await };
    [with().await, with().await]
}

async fn run(context: &Context, options: &Options) {
    let preflight = kit::preflight_of(options).await;
    kit::in_time(net::driven(context, options, &preflight)).await;
    net::closed(context, preflight.spec.run).await;
    net::freed(context, options).await;
}

/// The posts: `raised` or `resolved`, with the sequence number.
fn posted(receiver: &Receiver) -> Vec<(String, u64)> {
    let one = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).unwrap();
        let change = event["data"]["change"].as_str().unwrap().to_owned();
        (change, event["data"]["sequence"].as_u64().unwrap())
    };
    receiver.sent().iter().map(|sent| one(&sent.body)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_was_down_gets_everything_in_order_and_once() {
    let timing = Timing { notification_retry_delay: Duration::from_millis(400), ..Timing::default() };
    let (net, server) = (Net::start(timing).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let down = Receiver::start([CannedReply::status(503)]).await;
    let well = Receiver::start([CannedReply::status(200)]).await;
    let [one, two] = pair(&net, &options, &[&down, &well]).await;
    let subscriber = Subscriber::start(&net.server.url(), "keysweep.events.>").await;
    let mut workers = Workers::start(&one, NO_REPORTER);
    workers.add(&one, REPORTER);
    workers.add(&two, REPORTER);
    stale(&options, 11).await;
    run(&one, &options).await;
    // Resolved, and raised again, while the receiver does not accept the first one.
    run(&two, &options).await;
    stale(&options, 12).await;
    run(&one, &options).await;
    net::until(async || down.sent().len() >= 3).await;
    assert!(posted(&down).iter().all(|(change, _)| change == "raised"), "{:?}", posted(&down));
    // The other receiver did not wait for it.
    net::until(async || posted(&well).len() == 3).await;
    let changes: Vec<String> = posted(&well).into_iter().map(|(change, _)| change).collect();
    assert_eq!(changes, ["raised", "resolved", "raised"]);
    let before = down.sent().len();
    down.answer(CannedReply::status(204));
    let delivered = async || alerts::read(&*one.history_store, &options.job).await.unwrap().outbox.is_empty();
    net::until(delivered).await;
    // One that was in flight when the receiver recovered may have been rejected at its first try.
    let mut after = posted(&down).split_off(before - 1);
    after.dedup();
    assert_eq!(after, posted(&well), "each once, in the same order");
    assert!(posted(&down).windows(2).all(|pair| pair[0].1 <= pair[1].1), "{:?}", posted(&down));
    workers.stop().await;
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for payload in subscriber.payloads() {
        let event: Value = serde_json::from_slice(&payload).unwrap();
        *count.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(count.values().all(|times| *times == 1), "events came twice: {count:#?}");
    assert_eq!(count.keys().filter(|id| id.contains("/alert/")).count(), 3, "{count:#?}");
    assert_eq!(count.keys().filter(|id| id.contains("/completed/")).count(), 3, "{count:#?}");
}

/// The gauge is exposed by processes that serve the job, from the alert store: all expose the same, and reporters
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gauge_equals_the_alert_store() {
    let timing = Timing { notification_retry_delay: Duration::from_millis(100), ..Timing::default() };
    let (net, server) = (Net::start(timing).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let [reporting, serving] = pair(&net, &options, &[]).await;
    let (mut task_group, shutdown) = (TaskGroup::default(), CancellationToken::new());
    let (env, job, until) = (serving.clone(), options.job.clone(), shutdown.clone());
    task_group.start("service", async move { alerting::deliver_pending(&env, &[job], &until).await });
    let mut workers = Workers::start(&reporting, NO_REPORTER);
    workers.add(&reporting, REPORTER);
    let gauge_is = |context: &Context, value: u8| {
        let line = format!(
            "keysweep_alerts_active{{cleanup_job=\"{}\",alert=\"stale-keys\"}} {value}\n",
            options.job
        );
        context.telemetry.textfile().contains(&line)
    };
    net::until(async || gauge_is(&serving, 0)).await;
    stale(&options, 11).await;
    run(&reporting, &options).await;
    net::until(async || gauge_is(&serving, 1)).await;
    run(&reporting, &options).await;
    net::until(async || gauge_is(&serving, 0)).await;
    assert!(!reporting.telemetry.textfile().contains("keysweep_alerts_active{"));
    workers.stop().await;
    shutdown.cancel();
    assert_eq!(task_group.join().await, []);
}
