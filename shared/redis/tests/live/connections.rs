//! The connections of a process to a server, which are shared by all its parts, users and databases.

use std::collections::BTreeSet;
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_redis::{
    Batch, Conn, ConnectOptions, ConnectionUse, Listing, LookupKind, RedisClient, RedisErrorKind, Reply,
    ScanConnection, WindowReply,
};
use keysweep_servers::Server;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Databases that are used concurrently.
const DATABASES: u32 = 3;

/// The ids of the server's clients, including `conn`.
async fn ids(conn: &Conn) -> BTreeSet<String> {
    let Reply::BulkString(list) = conn.info_text("CLIENT LIST").await.unwrap() else {
        panic!("a list is a text")
    };
    let list = String::from_utf8(list).unwrap();
    list.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// The number of other clients of the server.
async fn clients(conn: &Conn) -> usize {
    ids(conn).await.len() - 1
}

/// The number of clients after a while: the server notices a closed connection only after a new one is opened.
async fn lasting(conn: &Conn) -> usize {
    let before = ids(conn).await;
    sleep(Duration::from_millis(10)).await;
    ids(conn).await.intersection(&before).count() - 1
}

async fn deployment(server: &Server, db: u32, user: Option<&str>) -> RedisClient {
    let (username, password) = (user.map(str::to_owned), user.map(|_| "secret".to_owned()));
    let access = ConnectOptions { db, username, password, ..ConnectOptions::open(vec![server.url()]) };
    RedisClient::discover(access).await.unwrap()
}

/// Writes keys named after `db` with all kinds of requests. Returns what keeps the connections open.
async fn work(client: RedisClient, db: u32) -> (Conn, Conn, ScanConnection) {
    let node = NodeId::new("standalone");
    let commands = client.conn(&node).await.unwrap();
    let acts = client.connect_for(&node, ConnectionUse::Acts).await.unwrap();
    let mut lister = commands.lister();
    let mut answers = WindowReply::default();
    for n in 0..200_u64 {
        let (name, value) = (format!("db{db}:{n}"), format!("of {db}"));
        let set = [b"SET".as_slice(), name.as_bytes(), value.as_bytes()];
        commands.command(&set).await.unwrap();
        acts.command(&set).await.unwrap();
        let mut batch = Batch::new();
        (0..3).for_each(|_| batch.add(&set));
        acts.batch(batch).await.unwrap();
        let own = commands.dedicated().await.unwrap();
        own.command(&[b"WATCH", name.as_bytes()]).await.unwrap();
        let mut batch = Batch::new();
        [&[b"MULTI".as_slice()][..], &set, &[b"EXEC"]].iter().for_each(|command| batch.add(command));
        // The other user of the database may have written it meanwhile.
        assert!(matches!(own.batch(batch).await.unwrap().last(), Some(Reply::Array(_) | Reply::Nil)));
        drop(own.into_conn());
        let scan = Listing::Scan { cursor: 0, count: 1_000 };
        lister.window(&[scan], std::iter::empty(), LookupKind::Ttl, &mut answers).await.unwrap();
        let prefix = format!("db{db}:").into_bytes();
        let page = answers.pages().next().unwrap();
        assert!(
            page.keys.iter().all(|place| answers.key(*place).starts_with(&prefix)),
            "of another database"
        );
    }
    (commands, acts, lister)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_and_users_share_four_connections_without_mixing() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    conn.info_text("ACL SETUSER other on >secret ~* &* +@all").await.unwrap();
    let mut working = JoinSet::new();
    for db in 0..DATABASES {
        for user in [None, Some("other")] {
            working.spawn(work(deployment(&server, db, user).await, db));
        }
    }
    let (mut most, mut held) = (0, Vec::new());
    while !working.is_empty() {
        most = most.max(lasting(&conn).await);
        while let Some(done) = working.try_join_next() {
            held.push(done.unwrap());
        }
    }
    // Those that are held are one for commands, one for acts, and one or two that list.
    most = most.max(lasting(&conn).await);
    drop(held);
    assert!((3..=4).contains(&most), "{most} connections");
    for db in 0..DATABASES {
        conn.info_text(&format!("SELECT {db}")).await.unwrap();
        let keys = conn.info_text(&format!("KEYS db{db}:*")).await.unwrap();
        assert!(matches!(&keys, Reply::Array(keys) if keys.len() == 200), "{keys:?}");
        assert_eq!(
            conn.info_text("DBSIZE").await.unwrap(),
            Reply::Int(200),
            "keys of others in database {db}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_user_does_not_affect_others() {
    let server = Server::start(&[]).await.unwrap();
    let deployed = deployment(&server, 0, None).await;
    let conn = deployed.conn(&NodeId::new("standalone")).await.unwrap();
    let unknown = ConnectOptions {
        username: Some("unknown".to_owned()),
        password: Some("wrong".to_owned()),
        ..ConnectOptions::open(vec![server.url()])
    };
    let refused = RedisClient::discover(unknown).await.err().unwrap();
    assert_eq!(refused.kind, RedisErrorKind::Authentication, "{refused}");
    assert!(refused.detail.contains("(user `unknown`)"), "{refused}");
    let beyond = ConnectOptions { db: 99, ..ConnectOptions::open(vec![server.url()]) };
    let refused = RedisClient::discover(beyond).await.err().unwrap();
    assert!(refused.detail.contains("DB index is out of range"), "{refused}");
    assert_eq!(conn.info_text("PING").await.unwrap(), Reply::SimpleString("PONG".to_owned()));
    assert_eq!(conn.connections(), 1, "it is the same connection all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_connection_is_replaced_and_unused_one_is_closed() {
    let server = Server::start(&[]).await.unwrap();
    let own = server.conn().await.unwrap();
    let deployed = deployment(&server, 0, None).await;
    let node = NodeId::new("standalone");
    let conn = deployed.conn(&node).await.unwrap();
    let mut lister = conn.lister();
    let (scan, mut answers) = ([Listing::Scan { cursor: 0, count: 10 }], WindowReply::default());
    lister.window(&scan, std::iter::empty(), LookupKind::Ttl, &mut answers).await.unwrap();
    own.info_text("CLIENT KILL TYPE normal SKIPME yes").await.unwrap();
    assert_eq!(conn.info_text("PING").await.unwrap_err().kind, RedisErrorKind::ConnectionLost);
    deployed.forget(&node);
    assert!(deployed.conn(&node).await.unwrap().info_text("PING").await.is_ok());
    // A lister does not notice that an idle connection was closed.
    lister.window(&scan, std::iter::empty(), LookupKind::Ttl, &mut answers).await.unwrap();
    drop((conn, lister, deployed));
    let closed = async { while clients(&own).await > 0 {} };
    timeout(Duration::from_secs(5), closed).await.expect("all are closed");
}
