//! Servers that scan and count differently from a hash table: deletions are exact, or the run reports that they are
//! not.

use coordinator::options::Options;
use coordinator::preflight::{Preflight, preflight};
use keysweep_model::ids::RunId;
use keysweep_model::messages::Lookups;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_redis::ConnectOptions;
use keysweep_redis::activity::{ActivityReadError, SetKind, read_members};
use keysweep_servers::Server;
use keysweep_testkit::kit;
use keysweep_testkit::kit::foreign::{Differences, Foreign};
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::population::{self, Population};

/// More than a plan reads completely.
const KEYS: u64 = 12_000;

/// Enough for further pages after [`LATE`] of them.
const MANY_KEYS: u64 = 40_000;

/// The page at which a server begins to differ: after those that the plan has looked at.
const LATE: Option<u64> = Some(60);

const OPAQUE: Option<u64> = Some(0);

/// A run through such a server with so many keys, and the truth of it.
async fn run(differences: Differences, keys: u64) -> (CleanupResult, GroundTruth, Options, Server) {
    let server = Server::start(&[]).await.unwrap();
    let truth = GroundTruth::mixture(keys, "");
    let real = kit::options(vec![server.url()]);
    truth.seed(&real.access).await;
    let foreign = Foreign::before(server.port(), differences).await;
    let result = kit::run(&kit::options(vec![foreign.url()])).await;
    (result, truth, real, server)
}

async fn exact(differences: Differences) {
    println!("{differences:?}");
    let (result, truth, real, _server) = run(differences, KEYS).await;
    truth.check(&real.access, &result).await;
    assert_eq!((result.status, result.scanned_keys_approximate), (Status::Completed, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opaque_cursors_are_read_exactly() {
    exact(Differences { opaque_from: OPAQUE, ..Differences::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_servers_are_read_exactly_despite_wrong_counts_and_repeats() {
    for (name, keyspace) in [
        ("kvrocks_version:2.9.0", Some("")),
        ("kvrocks_version:2.9.0", Some("keys=12000,expires=12000")),
        ("dragonfly_version:df-v1.27.1", Some("keys=7,expires=0")),
        ("garnet_version:1.0.40", None),
    ] {
        let differences = Differences {
            name: Some(name),
            keyspace,
            opaque_from: OPAQUE,
            repeats: Some(3),
            ..Differences::default()
        };
        exact(differences).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_are_old_hide_no_key() {
    for keyspace in ["", "keys=18000,expires=18000"] {
        exact(Differences { keyspace: Some(keyspace), ..Differences::default() }).await;
    }
}

/// The cursors change after the plan has looked at them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_that_turn_opaque_during_a_run_are_reported() {
    let (result, ..) = run(Differences { opaque_from: LATE, ..Differences::default() }, MANY_KEYS).await;
    // Failed, where no task was done before.
    assert!(matches!(result.status, Status::Partial | Status::Failed), "{:?}", result.issues);
    assert!(result.scanned_keys_approximate);
}

/// What a plan says of a server behind which `real` is.
async fn plan(options: &Options, differences: Differences, port: u16) -> Result<Preflight, String> {
    let foreign = Foreign::before(port, differences).await;
    let options = Options {
        access: ConnectOptions { urls: vec![foreign.url()], ..options.access.clone() },
        ..options.clone()
    };
    preflight(&options, RunId::new(), now_ms()).await.map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_does_not_end_ends_the_plan_with_an_error() {
    let server = Server::start(&[]).await.unwrap();
    let options = kit::options(vec![server.url()]);
    GroundTruth::mixture(400, "").seed(&options.access).await;
    // Also where nothing but its cursors gives it away.
    for name in [Some("kvrocks_version:2.9.0"), None] {
        let differences = Differences { name, circle_from: Some(0), ..Differences::default() };
        let said = kit::in_time(plan(&options, differences, server.port())).await.err();
        let why = "SCAN returned to an earlier cursor";
        assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_whose_scan_does_not_end_refuses_inactive_users() {
    let server = Server::start(&[]).await.unwrap();
    let options = population::options(vec![server.url()], population::zset());
    Population::of(2_000).seed(&options.access).await;
    let differences = Differences { circle_from: Some(0), ..Differences::default() };
    let foreign = Foreign::before(server.port(), differences).await;
    let access = ConnectOptions::open(vec![foreign.url()]);
    let conn = access.connect_dedicated(&foreign.url()).await.unwrap();
    let mut lookups = Lookups::default();
    let each = |_: &[u8], _: Option<f64>| true;
    let read = read_members(&conn, SetKind::Sorted, population::WARMING.as_bytes(), &mut lookups, each).await;
    let Err(ActivityReadError::Fault(fault)) = read else { panic!("{read:?}") };
    assert!(fault.detail.contains("returned to an earlier cursor"), "{fault}");
}

/// After the plan, its scan does not end any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_stops_ending_during_a_run_is_reported() {
    let name = Some("kvrocks_version:2.9.0");
    let differences = Differences { name, circle_from: LATE, ..Differences::default() };
    let (result, ..) = kit::in_time(run(differences, MANY_KEYS)).await;
    assert!(matches!(result.status, Status::Partial | Status::Failed), "{:?}", result.issues);
    assert!(result.scanned_keys_approximate);
}
