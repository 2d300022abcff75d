//! A real deployment for tests of the command line: its keys, and a digest to detect changes.

use std::collections::BTreeSet;

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use keysweep_redis::{Conn, ConnectOptions, Reply, Tls, TlsFiles, node};
use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::kit::keys::matching_at;
use tokio_util::task::AbortOnDropHandle;

use super::certificates::Certificates;

/// Options of servers whose contents are compared before and after.
pub const DIGEST: [&str; 2] = ["--enable-debug-command", "yes"];

/// Servers with a connection to each, opened before a test revokes permissions or sets a password.
pub struct TestDeployment {
    conns: Vec<Conn>,
    urls: Vec<String>,
    /// The options for writing keys.
    access: ConnectOptions,
}

impl TestDeployment {
    pub async fn standalone(server: &Server) -> Self {
        let (conns, urls) = (vec![server.conn().await.expect("it answers")], vec![server.url()]);
        Self { conns, access: ConnectOptions::open(urls.clone()), urls }
    }

    pub async fn cluster(cluster: &ClusterServers) -> Self {
        let mut conns = Vec::new();
        for node in cluster.nodes() {
            conns.push(node.conn().await.expect("it answers"));
        }
        let urls = cluster.urls();
        Self { conns, access: ConnectOptions::open(urls.clone()), urls }
    }

    /// Servers that are accessed over TLS.
    pub fn over_tls(self, servers: &[&Server], certificates: &Certificates) -> Self {
        let urls: Vec<String> = servers.iter().filter_map(|server| server.tls_url()).collect();
        let path = |name| PathBuf::from(certificates.path(name));
        let identity = Some((path("client.pem"), path("client.key")));
        let files = TlsFiles { ca: Some(path("ca.pem")), identity, ..TlsFiles::default() };
        let tls = Some(Tls::new(&files).expect("the certificates are sound"));
        Self { access: ConnectOptions { tls, ..ConnectOptions::open(urls.clone()) }, urls, ..self }
    }

    /// A connection to each server, with all permissions.
    pub fn conns(&self) -> &[Conn] {
        &self.conns
    }

    /// The first URL.
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// The first URL with `user` and the password of the tests.
    pub fn url_of(&self, user: &str) -> String {
        self.urls[0].replace("redis://", &format!("redis://{user}:{}@", super::SECRET))
    }

    /// Writes `keys` matching keys, a tenth of them stale, in slots that have an owner; returns the number of stale
    /// ones.
    pub async fn seed(&self, keys: u64) -> u64 {
        let mut seeder = Seeder::open(&self.access).await.expect("it can be seeded");
        let mut stale = 0;
        for n in 0..keys {
            let (key, ttl) = entry(n);
            if seeder.covers(&key) {
                stale += u64::from(ttl.is_none());
                seeder.set(&key, b"granted", ttl).await.expect("it is written");
            }
        }
        seeder.finish().await.expect("all is written");
        stale
    }

    /// Writes `keys` matching keys without a TTL.
    pub async fn seed_stale(&self, keys: u64) {
        let mut seeder = Seeder::open(&self.access).await.expect("it can be seeded");
        for n in 0..keys {
            seeder.set(&entry(n).0, b"granted", None).await.expect("it is written");
        }
        seeder.finish().await.expect("all is written");
    }

    /// Lets the first server take writes in a fifth of the time only, until this is dropped: a run may be over before anyone has
    /// seen it if the machine is fast.
    pub fn slow_writes(&self) -> AbortOnDropHandle<()> {
        let conn = self.conns[0].clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                conn.info_text("CLIENT PAUSE 40 WRITE").await.expect("it pauses");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }))
    }

    /// Creates a user on every server, with `rules` except for commands that an older server does not support.
    pub async fn user(&self, name: &str, rules: &str) {
        self.all(&format!("ACL SETUSER {name} {}", self.known_rules(rules).await)).await;
    }

    /// `rules` except for commands that an older server does not support.
    pub async fn known_rules(&self, rules: &str) -> String {
        let unknown = ["+pexpiretime ", "+eval_ro ", "+acl|dryrun "];
        let less = |rules: String, rule: &&str| rules.replace(rule, "");
        if self.is_older().await { unknown.iter().fold(rules.to_owned(), less) } else { rules.to_owned() }
    }

    /// Whether the servers are older than Redis 7.0.
    pub async fn is_older(&self) -> bool {
        !node::status(&self.conns[0], 0).await.expect("a status").reports_expiry
    }

    /// Whether the servers support a command.
    pub async fn knows(&self, command: &str) -> bool {
        let said = self.conns[0].info_text(&format!("COMMAND INFO {command}")).await.expect("an answer");
        matches!(said, Reply::Array(commands) if commands.iter().any(|it| matches!(it, Reply::Array(_))))
    }

    /// Whether clusters of such servers support numbered databases.
    pub async fn knows_cluster_databases(&self) -> bool {
        let said = self.conns[0].info_text("CONFIG GET cluster-databases").await.expect("an answer");
        !matches!(said, Reply::Array(settings) if settings.is_empty())
    }

    /// Sends `command` to every server.
    pub async fn all(&self, command: &str) {
        for conn in &self.conns {
            conn.info_text(command).await.unwrap_or_else(|e| panic!("{command}: {e}"));
        }
    }

    /// A digest of the servers' contents. Two equal digests mean that nothing was changed.
    pub async fn digest(&self) -> Vec<String> {
        let mut digests = Vec::new();
        for conn in &self.conns {
            let Reply::SimpleString(digest) = conn.info_text("DEBUG DIGEST").await.expect("a digest") else {
                panic!("a digest is a line");
            };
            digests.push(digest);
        }
        digests
    }

    /// Leaves out server number `index` from now on: it was killed.
    pub fn leave_out(&mut self, index: usize) {
        drop(self.conns.remove(index));
    }

    /// The keys of all servers that match `pattern`.
    pub async fn names(&self, pattern: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for conn in &self.conns {
            let text = |key| String::from_utf8(key).expect("the tests' keys are text");
            names.extend(matching_at(conn, pattern).await.into_iter().map(text));
        }
        names
    }

    /// Removes what keysweep keeps on the servers: the lock of a job outlives a killed process until its lease ends.
    pub async fn remove_own_keys(&self) {
        for name in self.names("keysweep:*").await {
            for conn in &self.conns {
                // One of them has it.
                let _ = conn.command(&[b"DEL", name.as_bytes()]).await;
            }
        }
    }

    /// The number of keys of all servers that match `pattern`.
    pub async fn keys(&self, pattern: &str) -> usize {
        self.names(pattern).await.len()
    }
}

/// A job file with three rules for the keys of [`TestDeployment::seed_stale`]: one deletes a tenth of them, one gives the
/// others a TTL, and one is for keys that are not there. Returns its path, which is the same each time.
pub fn job_with_rules() -> &'static str {
    const FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/three-rules.toml");
    const JOB: &str = r#"
        [[job]]
        name = "permission-cache-cleanup"
        [[job.rule]]
        match = ["permissions:*1:documents"]
        action = "delete"
        owner = "web"
        [[job.rule]]
        match = ["permissions:*"]
        ttl = "1h"
        owner = "accounts"
        [[job.rule]]
        match = ["session:*"]
        durable = true
    "#;
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| std::fs::write(FILE, JOB).expect("it can be written"));
    FILE
}

/// A key and its TTL.
fn entry(n: u64) -> (Vec<u8>, Option<u64>) {
    (format!("permissions:{n}:documents").into_bytes(), (!n.is_multiple_of(10)).then_some(3_600_000))
}
