//! Servers that scan and count otherwise than a hash table: what is deleted is exact, or the run says that it is not.

use crate::kit;
use crate::kit::foreign::{Foreign, Manner};
use crate::kit::truth::Truth;
use coordinator::options::Options;
use shared::result::{CleanupResult, Status};
use shared::servers::Server;

const KEYS: u64 = 40_000;

const OPAQUE: Option<u64> = Some(0);

/// A run through such a server, and the truth of it.
async fn run(manner: Manner) -> (CleanupResult, Truth, Options, Server) {
    let server = Server::start(&[]).await.unwrap();
    let truth = Truth::mixture(KEYS, "");
    let real = kit::options(vec![server.url()]);
    truth.seed(&real.access).await;
    let foreign = Foreign::before(server.port(), manner).await;
    let result = kit::run(&kit::options(vec![foreign.url()])).await;
    (result, truth, real, server)
}

async fn exact(manner: Manner) {
    println!("{manner:?}");
    let (result, truth, real, _server) = run(manner).await;
    truth.check(&real.access, &result).await;
    assert_eq!((result.status, result.scanned_keys_approximate), (Status::Completed, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opaque_cursors_are_read_exactly() {
    exact(Manner { opaque_from: OPAQUE, ..Manner::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_servers_are_read_exactly_whatever_they_count_and_repeat() {
    for (name, keyspace) in [
        ("kvrocks_version:2.9.0", Some("")),
        ("kvrocks_version:2.9.0", Some("keys=40000,expires=40000")),
        ("dragonfly_version:df-v1.27.1", Some("keys=7,expires=0")),
        ("garnet_version:1.0.40", None),
    ] {
        let manner = Manner { name: Some(name), keyspace, opaque_from: OPAQUE, repeats: Some(3) };
        exact(manner).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_are_old_hide_no_key() {
    for keyspace in ["", "keys=60000,expires=60000"] {
        exact(Manner { keyspace: Some(keyspace), ..Manner::default() }).await;
    }
}

/// The cursors change after the plan has looked at them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_that_turn_opaque_in_the_middle_are_told() {
    let (result, ..) = run(Manner { opaque_from: Some(60), ..Manner::default() }).await;
    // Failed, where no task was done before.
    assert!(matches!(result.status, Status::Partial | Status::Failed), "{:?}", result.issues);
    assert!(result.scanned_keys_approximate);
}
