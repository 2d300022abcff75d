//! A Sentinel that cannot outlive this process. It watches a local server and promotes its replica when that is down;
//! alone it is the majority.

use keysweep_files::Folder;
use keysweep_redis::{Conn, ConnectOptions};
use keysweep_servers::managed_process::{self, LocalServer, ManagedProcess, READY_POLL};
use keysweep_servers::{Server, ServersError, answers, ask, free_ports, fresh_dir, redis_server};

/// The time without a reply after which the primary counts as down, in milliseconds.
const DOWN_AFTER_MS: u32 = 500;

/// A running Sentinel. Dropping it kills it and removes its files.
pub struct Sentinel {
    process: ManagedProcess,
    port: u16,
    tls_port: Option<u16>,
}

impl LocalServer for Sentinel {
    fn process(&self) -> &ManagedProcess {
        &self.process
    }

    fn url(&self) -> String {
        self.address()
    }

    async fn answers(&self) -> bool {
        answers(self.conn().await)
    }
}

impl Sentinel {
    /// Starts one that watches `primary` under `name`; `more` are lines of its configuration. Returns when it answers.
    pub async fn start(name: &str, primary: &Server, more: &[&str]) -> Result<Self, ServersError> {
        Self::start_at(name, (primary.port(), false), more).await
    }

    /// [`Sentinel::start`] with a second port with TLS, and watching `primary` over TLS; `more` contains the
    /// certificates.
    pub async fn start_tls(name: &str, primary: &Server, more: &[&str]) -> Result<Self, ServersError> {
        let port = primary.tls_port().unwrap_or_default();
        Self::start_at(name, (port, true), &[more, &["tls-replication yes"]].concat()).await
    }

    async fn start_at(name: &str, (watched, tls): (u16, bool), more: &[&str]) -> Result<Self, ServersError> {
        let binary = redis_server()?;
        managed_process::start(|| {
            let [port, other, _] = free_ports()?;
            let (dir, tls_port) = (fresh_dir()?, tls.then_some(other));
            let tls_line = tls_port.map(|port| format!("tls-port {port}")).unwrap_or_default();
            let config = dir.join("sentinel.conf");
            let text = format!(
                "port {port}\n{tls_line}\nbind 127.0.0.1\nprotected-mode no\ndir {}\n\
                 sentinel monitor {name} 127.0.0.1 {watched} 1\n\
                 sentinel down-after-milliseconds {name} {DOWN_AFTER_MS}\n\
                 sentinel failover-timeout {name} 10000\n{}\n",
                dir.display(),
                more.join("\n")
            );
            Folder::private(&dir)?.put("sentinel.conf", text.as_bytes(), false)?;
            let args = [config.display().to_string(), "--sentinel".to_owned()];
            Ok(Self { process: ManagedProcess::start(dir, &binary, &args)?, port, tls_port })
        })
        .await
    }

    /// `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:<port>` of the TLS port, if there is one.
    #[must_use]
    pub fn tls_address(&self) -> Option<String> {
        self.tls_port.map(|port| format!("127.0.0.1:{port}"))
    }

    /// A new connection to it, without a password.
    pub async fn conn(&self) -> Result<Conn, ServersError> {
        let url = format!("redis://{}", self.address());
        Ok(ConnectOptions::open(vec![url.clone()]).connect_dedicated(&url).await?)
    }

    /// Waits until it knows `count` replicas of `name` that can be promoted.
    pub async fn knows_replicas(&self, name: &str, count: usize) -> Result<(), ServersError> {
        let conn = self.conn().await?;
        loop {
            let info = ask(&conn, "INFO sentinel").await?;
            let line = info.lines().find(|line| line.contains(&format!("name={name},")));
            if line
                .is_some_and(|line| line.contains(&format!("slaves={count}")) && line.contains("status=ok"))
            {
                return Ok(());
            }
            self.process.check_starting().map_err(|why| self.process.not_ready(&self.address(), &why))?;
            tokio::time::sleep(READY_POLL).await;
        }
    }
}
