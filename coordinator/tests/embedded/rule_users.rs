//! Rules that ask which users are active: exactly the keys of those users are changed, and none if it is not known.

use std::sync::Arc;
use std::time::Duration;

use coordinator::options::Options;
use keysweep_model::messages::ActivityRule;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::activity::ActiveUsers;
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit::queues::Twice;
use keysweep_testkit::kit::rule_users::{self, USERS};
use keysweep_testkit::kit::{self, keys};

async fn run(options: &Options, ids_fit: bool) -> CleanupResult {
    rule_users::seed(&options.access, ids_fit).await;
    kit::run(options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_go_and_stay_with_their_users() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let options = rule_users::options(urls);
        let result = run(&options, true).await;
        assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
        rule_users::check(&options.access, &result).await;
        assert!(!result.inactive.searched && result.inactive.source.as_deref() == Some("zset:users:seen"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_of_a_run_that_asks_for_users_twice() {
    let server = kit::standalone().await;
    let mut options = rule_users::options(vec![server.url()]);
    options.rules.grace_ms = 100;
    rule_users::seed(&options.access, true).await;
    let mut env = kit::env(&options, Timing { ack_wait: Duration::from_millis(500), ..Timing::default() });
    let twice = Twice::install(&mut env.queue);
    let preflight = kit::preflight_of(&options).await;
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert!(twice.doubled() > preflight.tasks.len() as u64);
    rule_users::check(&options.access, &result).await;
}

/// The script and the transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_scripts_gets_the_same_keys_changed() {
    let server = kit::standalone().await;
    let options = rule_users::options(vec![server.url()]);
    rule_users::seed(&options.access, true).await;
    let mut preflight = kit::preflight_of(&options).await;
    preflight.spec.scripts_refused = Some("a test".to_owned());
    let env = kit::env(&options, Timing::default());
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    rule_users::check(&options.access, &result).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_it_is_not_known_who_is_active_no_key_is_changed() {
    let server = kit::standalone().await;
    let options = rule_users::options(vec![server.url()]);
    // Ids are written differently in keys and in the set.
    let result = run(&options, false).await;
    let issue = result.findings.iter().find(|finding| finding.rule == "users-unknown").expect("an issue");
    assert!(issue.message.contains("none of"), "{issue:?}");
    rule_users::check_untouched(&options.access, &result, [USERS + 1, USERS]).await;
    // There is no set.
    for conn in keys::conns(&options.access).await {
        conn.info_text("DEL users:seen").await.unwrap();
        conn.info_text("SET other value").await.unwrap();
    }
    let result = kit::run(&options).await;
    let issue = result.findings.iter().find(|finding| finding.rule == "users-unknown").expect("an issue");
    assert!(issue.message.contains("is empty or missing"), "{issue:?}");
    rule_users::check_untouched(&options.access, &result, [USERS + 1, USERS]).await;
}

/// The sample of the plan finds active users, and the scan does not, because the set is another one than the plan has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_find_no_active_user_change_no_key() {
    let server = kit::standalone().await;
    let options = rule_users::options(vec![server.url()]);
    rule_users::seed(&options.access, true).await;
    let mut preflight = kit::preflight_of(&options).await;
    // As if the set had one user, and no key were of that user.
    let mut users = ActiveUsers::gather();
    users.add(b"another");
    let users = Arc::new(users.finish());
    let activity = &mut preflight.spec.rules.policy.as_mut().unwrap().activity.as_mut().unwrap().activity;
    let ActivityRule::Users { matching: Some(planned), .. } = activity.clone() else {
        panic!("{activity:?}")
    };
    *activity = users.rule();
    if let ActivityRule::Users { matching: Some(matching), .. } = activity {
        matching.sampled = planned.sampled;
    }
    preflight.users = Some(users);
    preflight.spec.rules.policy.as_mut().unwrap().examples = 3;
    let env = kit::env(&options, Timing::default());
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    // A key that may be of an active user breaks no rule.
    let named = reporter::rule_examples(&env.records(preflight.spec.run), 3).await.unwrap();
    assert!(named.is_empty(), "{named:?}");
    // Sessions are not for users who seem inactive.
    rule_users::check_untouched(&options.access, &result, [USERS + 1, 0]).await;
    assert!(result.findings.iter().any(|finding| finding.rule == "no-active-user"), "{:?}", result.issues);
}
