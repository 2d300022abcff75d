//! The servers of the bench: starting, seeding, CPU usage and verification.

use anyhow::{Context, Result, bail};
use keysweep_redis::{Conn, Reply};
use keysweep_servers::{ClusterServers, Seeder, Server};

use super::data::Data;

/// Keys that contenders or the foreground client leave behind and that are not part of the data.
const OTHERS: [&str; 2] = ["keysweep:*", "app:*"];

/// The type of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Three primaries without replicas.
    Cluster,
    /// One standalone server.
    Standalone,
}

/// The servers; dropping them stops them.
#[expect(dead_code, reason = "keeps the servers running")]
enum Servers {
    Cluster(ClusterServers),
    Standalone(Server),
}

/// A running deployment.
pub(crate) struct Deployment {
    _servers: Servers,
    urls: Vec<String>,
}

/// The current data of a deployment.
pub(crate) struct Seeded {
    seeder: Seeder,
    keys: u64,
    /// How many of them have a TTL.
    with_ttl: u64,
}

impl Deployment {
    /// Starts empty servers.
    pub(crate) async fn start(place: Place) -> Result<Self> {
        Ok(match place {
            Place::Cluster => {
                let cluster = ClusterServers::start(3, 0).await?;
                Self { urls: cluster.urls(), _servers: Servers::Cluster(cluster) }
            }
            Place::Standalone => {
                let server = Server::start(&[]).await?;
                Self { urls: vec![server.url()], _servers: Servers::Standalone(server) }
            }
        })
    }

    /// The addresses of all nodes.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Empties the servers and writes `keys` keys.
    pub(crate) async fn seed(&self, data: Data, keys: u64) -> Result<Seeded> {
        let mut seeder = Seeder::connect(&self.urls).await?;
        for node in seeder.conns() {
            node.info_text("FLUSHALL").await?;
        }
        let mut with_ttl = 0;
        for number in 0..keys {
            let (key, ttl_ms) = (data.key(number), data.ttl_ms(number));
            with_ttl += u64::from(ttl_ms.is_some());
            seeder.set(key.as_bytes(), b"read,write,share", ttl_ms).await?;
        }
        seeder.finish().await?;
        Ok(Seeded { seeder, keys, with_ttl })
    }

    /// The servers' name and version, such as `Redis 7.0.15`.
    pub(crate) async fn version(&self) -> Result<String> {
        let seeder = Seeder::connect(&self.urls).await?;
        let node = seeder.conns().next().context("there is no server")?;
        Ok(version_in(&info(node, "INFO server").await?))
    }
}

impl Seeded {
    /// User and system time of all servers so far, in seconds, according to INFO. This equals `/proc/PID/stat`, but in
    /// microseconds instead of steps of 10 ms.
    pub(crate) async fn server_cpu(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for node in self.seeder.conns() {
            seconds += cpu_in(&info(node, "INFO cpu").await?).context("INFO contains no CPU usage")?;
        }
        Ok(seconds)
    }

    /// Checks the remaining keys: all keys, or (after a `cleanup`) all keys with a TTL.
    ///
    /// # Errors
    /// If the number differs: figures of a wrong run are meaningless.
    pub(crate) async fn check(&self, cleanup: bool) -> Result<()> {
        let mut others = 0;
        for node in self.seeder.conns() {
            for pattern in OTHERS {
                if let Reply::Array(keys) = node.info_text(&format!("KEYS {pattern}")).await? {
                    others += keys.len() as u64;
                }
            }
        }
        let left = self.seeder.keys().await?.saturating_sub(others);
        let expected = if cleanup { self.with_ttl } else { self.keys };
        if left != expected {
            bail!("it left {left} keys; {expected} were expected");
        }
        Ok(())
    }
}

async fn info(node: &Conn, command: &str) -> Result<String> {
    match node.info_text(command).await? {
        Reply::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Reply::VerbatimString { text, .. } => Ok(text),
        _ => bail!("the reply to `{command}` is no text"),
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

fn cpu_in(info: &str) -> Option<f64> {
    let seconds = |name| field(info, name)?.parse::<f64>().ok();
    Some(seconds("used_cpu_user")? + seconds("used_cpu_sys")?)
}

fn version_in(info: &str) -> String {
    let version = |name| field(info, name);
    match (version("valkey_version"), version("redis_version")) {
        (Some(valkey), _) => format!("Valkey {valkey}"),
        (None, redis) => format!("Redis {}", redis.unwrap_or("of unknown version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_by_whole_names() {
        let info =
            "# CPU\r\nused_cpu_sys:1.500000\r\nused_cpu_user:2.250000\r\nused_cpu_sys_children:9.0\r\n";
        assert_eq!(cpu_in(info), Some(3.75));
        assert_eq!(cpu_in("used_cpu_sys:1.5\r\n"), None);
        assert_eq!(version_in("redis_version:7.0.15\r\n"), "Redis 7.0.15");
        assert_eq!(version_in("redis_version:7.2.4\r\nvalkey_version:8.1.1\r\n"), "Valkey 8.1.1");
    }

    #[tokio::test]
    async fn a_check_counts_the_data_alone() {
        let client = Deployment::start(Place::Standalone).await.unwrap();
        let seeded = client.seed(Data::Stale { percent: 10 }, 50).await.unwrap();
        let node = seeded.seeder.conns().next().unwrap();
        for key in ["keysweep:ledger", "app:1"] {
            node.info_text(&format!("SET {key} x")).await.unwrap();
        }
        seeded.check(false).await.unwrap();
        let error = seeded.check(true).await.unwrap_err();
        assert_eq!(error.to_string(), "it left 50 keys; 45 were expected");
        assert!(seeded.server_cpu().await.unwrap() > 0.0);
    }
}
