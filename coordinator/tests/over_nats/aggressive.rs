//! Removing the caches of inactive users with stages that share nothing but a server.

use crate::kit;
use crate::kit::crowd::{self, Crowd};
use crate::kit::net::{self, Counts, Net};
use shared::context::Timing;
use shared::messages::Action;

const USERS: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_workers_over_nats() {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let options = crowd::options(cluster.urls(), crowd::zset());
    let env = net.env(&options).await;
    let crowd = Crowd::of(USERS);
    crowd.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    crowd.check_numbers(&result, Action::Delete);
    crowd::check_lookups(&result, 0);
    net::drop_ledgers(&options).await;
    crowd.check_keys(&options.access, (true, true)).await;
    let (mut reasons, mut revision) = (0, 0);
    while let Some((at, entry)) = shared::audit::next(&*env.store, result.run_id, revision).await.unwrap() {
        revision = at;
        let inactive = entry.groups.iter().filter(|group| group.reason.as_str() == "inactive");
        reasons += inactive.map(|group| group.keys.len() as u64).sum::<u64>();
    }
    assert_eq!(reasons, crowd.inactive.len() as u64, "the audit trail names them, and why");
}
