//! Differences between server versions, and how a run reports them.

use keysweep_model::messages::{Action, DeleteBackend};
use keysweep_model::result::Status;
use keysweep_redis::node;
use keysweep_testkit::kit;
use keysweep_testkit::kit::population::{self, Population};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_of_inactive_users_stay_where_a_server_does_not_report_expiry_times() {
    let server = kit::standalone().await;
    let conn = server.conn().await.unwrap();
    let options = population::options(vec![server.url()], population::zset());
    let population = Population::of(500);
    population.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let result =
        kit::run_in(&kit::env(&options, keysweep_runtime::context::Timing::default()), &options, &preflight)
            .await
            .unwrap();
    assert_eq!((result.status, result.accounting.balanced), (Status::Completed, true), "{:?}", result.issues);
    if node::status(&conn, 0).await.unwrap().reports_expiry {
        population.check_numbers(&result, Action::Delete);
        assert_eq!(result.inactive.refused, None);
    } else {
        let refused = result.inactive.refused.expect("a reason");
        assert!(refused.contains("older than Redis 7.0"), "{refused}");
        assert_eq!((result.cleaned_keys, result.inactive_user_caches), (population.stale.len() as u64, 0));
    }
    // Servers crash by it while slots move: see `Conn::introduce`.
    let asked = kit::keys::info(&options.access, "commandstats").await.concat();
    assert!(asked.contains("client") && !asked.contains("no-touch"), "{asked}");
    let expected =
        if preflight.spec.scripts_refused.is_some() { DeleteBackend::Watch } else { DeleteBackend::Lua };
    assert_eq!(result.delete_backend, expected);
}
