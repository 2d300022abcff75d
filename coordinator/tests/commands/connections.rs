//! How many connections a server is asked for, and what is said where it has too few.

use std::net::TcpStream;
use std::time::Duration;

use crate::cli::keysweep;
use crate::cli::place::Place;
use shared::servers::Server;

/// What a server without TLS says to a connection that is one too many.
const FULL: &str = "max number of clients reached";

/// Connections of others, so many that the server takes `left` more. Dropping them closes them.
async fn crowd(place: &Place, server: &Server, left: usize) -> Vec<TcpStream> {
    let conn = &place.conns()[0];
    conn.words("CONFIG SET maxclients 32").await.unwrap();
    let others = 32 - left - place.conns().len();
    (0..others).map(|_| TcpStream::connect(("127.0.0.1", server.port())).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_connection_is_named_with_its_limit() {
    let server = Server::start(&[]).await.unwrap();
    let place = Place::standalone(&server).await;
    let _others = crowd(&place, &server, 0).await;
    for command in [&["run", "--yes"][..], &["run", "--dry-run"], &["plan"]] {
        let ended = keysweep(&[command, &["--json", "--redis", &server.url()]].concat()).run();
        ended.fails(5, &[&server.url()["redis://".len()..], FULL, "`maxclients`", "raise"]);
        assert!(ended.took < Duration::from_secs(8), "{ended}");
    }
}
