//! Removes the caches of inactive users with stages that share only a server.

use keysweep_model::messages::{Action, Reason};
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit;
use keysweep_testkit::kit::net::{self, Counts, Net};
use keysweep_testkit::kit::population::{self, Population};

const USERS: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_of_inactive_users_are_removed_over_nats() {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let options = population::options(cluster.urls(), population::zset());
    let env = net.env(&options).await;
    let population = Population::of(USERS);
    population.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    population.check_numbers(&result, Action::Delete);
    population::check_lookups(&result, 0);
    net::drop_ledgers(&options).await;
    population.check_keys(&options.access, (true, true)).await;
    let (mut reasons, mut revision) = (0, 0);
    while let Some(next) = env.audit.as_ref().unwrap().next(Some(result.run_id), revision).await.unwrap() {
        revision = next.revision;
        let inactive = next.entry.groups.iter().filter(|group| group.reason == Reason::Inactive);
        reasons += inactive.map(|group| group.keys.len() as u64).sum::<u64>();
    }
    assert_eq!(reasons, population.inactive.len() as u64, "the audit trail names them, and why");
}
