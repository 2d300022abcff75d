//! A TCP proxy that delays, stalls, or cuts connections to a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use keysweep_tasks::supervision::TaskGroup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How often a stalled connection checks whether it may continue.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The rules; they can be changed at any time, for all connections.
#[derive(Default)]
pub struct ProxyFaults {
    delay_ms: AtomicU64,
    /// No data is forwarded while this is 1.
    stalled: AtomicU64,
    /// Bytes until every connection is cut; negative for never.
    left: AtomicI64,
}

/// A TCP proxy. It ends when it is dropped.
pub struct Proxy {
    pub faults: Arc<ProxyFaults>,
    address: SocketAddr,
    /// Dropping it ends all connections.
    _serving: TaskGroup,
}

impl Proxy {
    /// A proxy for `127.0.0.1:port`.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = Arc::new(ProxyFaults { left: AtomicI64::new(-1), ..ProxyFaults::default() });
        let mut serving = TaskGroup::default();
        serving.start("proxy", serve(listener, port, Arc::clone(&faults)));
        Self { faults, address, _serving: serving }
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl ProxyFaults {
    /// Delays every chunk.
    pub fn delay(&self, ms: u64) {
        self.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Stops or resumes all forwarding.
    pub fn stall(&self, is: bool) {
        self.stalled.store(u64::from(is), Ordering::Relaxed);
    }

    /// Cuts the connection that reaches this number of bytes, in the middle of its data.
    pub fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// How many of `read` bytes may pass; an error if the connection ends after them.
    fn pass(&self, read: usize) -> Result<usize, usize> {
        let len = i64::try_from(read).unwrap();
        let before = self.left.load(Ordering::Relaxed);
        if before < 0 {
            return Ok(read);
        }
        let before = self.left.fetch_sub(len, Ordering::Relaxed);
        if before > len { Ok(read) } else { Err(usize::try_from(before.clamp(0, len)).unwrap()) }
    }
}

async fn serve(listener: TcpListener, port: u16, faults: Arc<ProxyFaults>) -> std::io::Result<()> {
    let mut connections = TaskGroup::default();
    loop {
        let (client, _) = listener.accept().await?;
        let faults = Arc::clone(&faults);
        connections.remove_ended();
        connections.start("a connection", async move { join(client, port, &faults).await });
    }
}

async fn join(client: TcpStream, port: u16, faults: &ProxyFaults) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // The end of one direction ends both.
    tokio::select! {
        ended = pour(&mut from_client, &mut to_server, faults) => ended,
        ended = pour(&mut from_server, &mut to_client, faults) => ended,
    }
}

async fn pour(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    faults: &ProxyFaults,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(faults.delay_ms.load(Ordering::Relaxed))).await;
        while faults.stalled.load(Ordering::Relaxed) > 0 {
            sleep(LOOK_EVERY).await;
        }
        match faults.pass(read) {
            Ok(len) => to.write_all(&buffer[..len]).await?,
            Err(len) => {
                faults.cut_after(-1);
                return to.write_all(&buffer[..len]).await;
            }
        }
    }
}
