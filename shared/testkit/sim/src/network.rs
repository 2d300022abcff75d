//! The network between processes and servers: connections that are late, cut off, refused, or silent.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_redis::{Connector, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

use crate::coverage::Failure;
use crate::life::Life;
use crate::rates::{Rates, happens};
use crate::redis::deployment::Deployment;
use crate::redis::{Session, resp};
use crate::witness::Witness;

/// Bytes that are on the way in each direction.
const PIPE_BYTES: usize = 64 << 10;

/// Bytes that a server reads at a time.
const READ_BYTES: usize = 16 << 10;

/// Commands that are often sent together.
const COMMANDS_TOGETHER: usize = 20;

/// How often a silent connection looks whether it may go on.
const SILENT: Duration = Duration::from_millis(50);

/// The servers, and what is between them and each process.
pub(crate) struct Net {
    pub(crate) deployment: Mutex<Deployment>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) witness: Arc<Witness>,
    /// Pairs of process and server between which nothing gets through.
    parted: Mutex<BTreeSet<(usize, usize)>>,
}

impl Net {
    pub(crate) fn new(deployment: Deployment, rates: Arc<Rates>, witness: Arc<Witness>) -> Arc<Self> {
        Arc::new(Self { deployment: Mutex::new(deployment), rates, witness, parted: Mutex::default() })
    }

    pub(crate) fn deployment(&self) -> MutexGuard<'_, Deployment> {
        self.deployment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parts a process from a server, or lets them meet again.
    pub(crate) fn part(&self, process: usize, server: usize, is_parted: bool) {
        let mut parted = self.parted.lock().unwrap_or_else(PoisonError::into_inner);
        if is_parted {
            parted.insert((process, server));
        } else {
            parted.remove(&(process, server));
        }
    }

    /// The node that answers at an address, or whose replica does.
    fn serving(&self, address: SocketAddr) -> Option<usize> {
        let deployment = self.deployment();
        deployment.serving(address).or_else(|| deployment.of_replica(address))
    }

    fn are_parted(&self, process: usize, server: usize) -> bool {
        self.parted.lock().unwrap_or_else(PoisonError::into_inner).contains(&(process, server))
    }

    /// Waits until something gets through from a process to a server, or back.
    async fn gets_through(&self, process: usize, server: usize, life: &Life) {
        while self.are_parted(process, server) {
            self.witness.reached(Failure::Away);
            sleep(SILENT).await;
        }
        life.thawed().await;
    }
}

/// The network as one process sees it.
pub(crate) struct ProcessNet {
    pub(crate) net: Arc<Net>,
    pub(crate) process: usize,
    pub(crate) life: Arc<Life>,
}

impl Connector for ProcessNet {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Socket>>> {
        let (net, process, life) = (Arc::clone(&self.net), self.process, Arc::clone(&self.life));
        async move {
            sleep(Duration::from_micros(fastrand::u64(50..500))).await;
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let serving = net.serving(to);
            let Some(at) = serving else {
                net.witness.reached(Failure::Away);
                return Err(refused());
            };
            net.gets_through(process, at, &life).await;
            let (ours, theirs) = duplex(PIPE_BYTES);
            #[expect(clippy::disallowed_methods, reason = "it ends with the connection")]
            tokio::spawn(async move {
                if let Err(e) = serve(&net, Client { process, life }, to, theirs).await {
                    tracing::debug!("a connection of {to} ended: {e}");
                }
            });
            Ok(Box::new(ours) as Box<dyn Socket>)
        }
        .boxed()
    }
}

/// The process at the other end of a connection.
struct Client {
    process: usize,
    life: Arc<Life>,
}

/// Answers what is sent over a connection, until one side closes it.
async fn serve(net: &Net, client: Client, address: SocketAddr, mut socket: DuplexStream) -> io::Result<()> {
    let Client { process, life } = client;
    let (mut session, mut sent, mut piece) = (Session::default(), Vec::new(), vec![0; READ_BYTES]);
    let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
    session.at_replica = net.deployment().of_replica(address).is_some();
    let cuts = |net: &Net| net.serving(address).map(|at| (at, net.deployment().nodes[at].cut));
    let begun = cuts(net).ok_or_else(lost)?;
    loop {
        let read = socket.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        sent.extend_from_slice(&piece[..read]);
        let late = if happens(net.rates.net().slow) {
            fastrand::u64(1_000_000..20_000_000)
        } else {
            fastrand::u64(20..300)
        };
        sleep(Duration::from_micros(late)).await;
        net.gets_through(process, begun.0, &life).await;
        let mut replies = Vec::new();
        let mut left = happens(net.rates.net().cut).then(|| fastrand::usize(..COMMANDS_TOGETHER));
        if left.is_some() {
            net.witness.fault();
        }
        let mut at = 0;
        while let Some(command) = resp::take(&sent, &mut at).map_err(io::Error::other)? {
            if cuts(net) != Some(begun) {
                net.witness.reached(Failure::Cut);
                return Err(lost());
            }
            if left == Some(0) {
                break;
            }
            net.deployment().execute(begun.0, &mut session, &command).write(&mut replies);
            left = left.map(|left| left - 1);
        }
        sent.drain(..at);
        if left.is_some() {
            net.witness.reached(Failure::Cut);
            // What is written before may end in the middle of a reply.
            socket.write_all(&replies[..fastrand::usize(..=replies.len())]).await?;
            return Err(lost());
        }
        if !life.carried_out() {
            return Err(lost());
        }
        sleep(Duration::from_micros(fastrand::u64(20..300))).await;
        net.gets_through(process, begun.0, &life).await;
        if cuts(net) != Some(begun) {
            return Err(lost());
        }
        socket.write_all(&replies).await?;
    }
}
