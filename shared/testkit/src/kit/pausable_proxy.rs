//! A proxy between a replica and its primary that can be paused: then nothing that the primary writes is forwarded,
//! while both stay connected. So the replica lags, as with a slow network.

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A pausable proxy. Dropping it cuts all connections.
pub struct PausableProxy {
    port: u16,
    open: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl PausableProxy {
    /// A proxy for the server at `port`.
    #[expect(clippy::disallowed_methods, reason = "a test's own task, aborted when the valve is dropped")]
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let at = listener.local_addr().expect("it is bound").port();
        let (open, opened) = watch::channel(true);
        let serving = tokio::spawn(async move {
            let mut pipes = tokio::task::JoinSet::new();
            while let Ok((replica, _)) = listener.accept().await {
                let primary = TcpStream::connect(("127.0.0.1", port)).await.expect("the primary is there");
                pipes.spawn(pipe(replica, primary, opened.clone()));
            }
        });
        Self { port: at, open, serving }
    }

    /// The port for the replica.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds back the primary's data.
    pub fn pause(&self) {
        self.open.send_replace(false);
    }

    /// Forwards it again, with what was held back.
    pub fn resume(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for PausableProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pipe(replica: TcpStream, primary: TcpStream, mut open: watch::Receiver<bool>) {
    let (mut from_replica, mut to_replica) = replica.into_split();
    let (mut from_primary, mut to_primary) = primary.into_split();
    let down = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from_primary.read(&mut bytes).await.unwrap_or(0);
            let opened = open.wait_for(|open| *open).await.is_ok();
            if read == 0 || !opened || to_replica.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        _ = copy(&mut from_replica, &mut to_primary) => {}
    }
}
