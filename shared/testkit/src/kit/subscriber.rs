//! A NATS subscriber without JetStream: it receives all published messages, including those that no stream stores.

use std::sync::{Arc, Mutex};

use keysweep_tasks::supervision::TaskGroup;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The received messages. Dropping it ends the subscription.
pub struct Subscriber {
    payloads: Arc<Mutex<Vec<Vec<u8>>>>,
    _crew: TaskGroup,
}

impl Subscriber {
    /// Subscribes to `subjects` at the server at `url` (`nats://host:port`). Receives what is published after this
    /// returns.
    pub async fn start(url: &str, subjects: &str) -> Self {
        let mut stream = TcpStream::connect(url.trim_start_matches("nats://")).await.unwrap();
        let hello =
            format!("CONNECT {{\"verbose\":false,\"headers\":false}}\r\nSUB {subjects} 1\r\nPING\r\n");
        stream.write_all(hello.as_bytes()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
        }
        let payloads = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut task_group) = (Arc::clone(&payloads), TaskGroup::default());
        task_group.start("subscriber", async move { receive(stream, &kept).await });
        Self { payloads, _crew: task_group }
    }

    /// All payloads so far.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        self.payloads.lock().unwrap().clone()
    }
}

async fn receive(mut stream: BufReader<TcpStream>, kept: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.starts_with("PING") {
            stream.write_all(b"PONG\r\n").await?;
        } else if line.starts_with("MSG") {
            // `MSG <subject> <sid> [reply] <bytes>`, and the payload with a line end.
            let bytes: usize = line.split_whitespace().last().unwrap().parse().unwrap();
            let mut payload = vec![0; bytes + 2];
            stream.read_exact(&mut payload).await?;
            payload.truncate(bytes);
            kept.lock().unwrap().push(payload);
        }
    }
}
