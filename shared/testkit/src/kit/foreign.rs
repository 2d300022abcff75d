//! A simulated Redis-compatible server: a proxy for a real one with opaque cursors, other key counts, and another
//! name. It cannot show how such servers fail; that they need no more than this comes from their documentation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use keysweep_tasks::supervision::TaskGroup;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The differences from Redis.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    /// A line of INFO server, such as `kvrocks_version:2.9.0`.
    pub name: Option<&'static str>,
    /// The value of database 0 in INFO keyspace, such as `keys=9,expires=9`; empty for no line.
    pub keyspace: Option<&'static str>,
    /// The number of the SCAN (over all connections) from which cursors are random 64-bit numbers.
    pub opaque_from: Option<u64>,
    /// The number of the SCAN from which cursors form a cycle.
    pub circle_from: Option<u64>,
    /// The interval of pages that repeat the keys of the previous page.
    pub repeats: Option<u64>,
    /// Whether INFO replication omits the replication id, which INFO contains.
    pub hides_history: bool,
}

/// A proxy with these differences. It ends when it is dropped.
pub struct Foreign {
    port: u16,
    _serving: TaskGroup,
}

#[derive(Default)]
struct Cursors {
    real: HashMap<u64, u64>,
    scans: u64,
    page: Vec<u8>,
}

impl Foreign {
    /// A proxy for the server at `port`.
    pub async fn before(port: u16, differences: Differences) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().port();
        let mut serving = TaskGroup::default();
        serving.start("foreign", async move {
            let (mut connections, cursors) = (TaskGroup::default(), Arc::new(Mutex::new(Cursors::default())));
            loop {
                let (client, _) = listener.accept().await?;
                let (differences, cursors) = (differences.clone(), Arc::clone(&cursors));
                connections.remove_ended();
                connections
                    .start("a connection", async move { join(client, port, differences, cursors).await });
            }
            #[expect(unreachable_code, reason = "says the type")]
            std::io::Result::Ok(())
        });
        Self { port: at, _serving: serving }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// One request at a time, as words.
async fn join(
    client: TcpStream,
    port: u16,
    differences: Differences,
    cursors: Arc<Mutex<Cursors>>,
) -> std::io::Result<()> {
    let mut server = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    let mut client = BufReader::new(client);
    loop {
        let Some(mut words) = request(&mut client).await? else { return Ok(()) };
        let command = words[0].to_ascii_uppercase();
        let scans = ["SCAN", "SSCAN", "ZSCAN"].map(str::as_bytes).contains(&command.as_slice());
        if scans {
            let place = if command == b"SCAN" { 1 } else { 2 };
            let asked: u64 = String::from_utf8_lossy(&words[place]).parse().unwrap();
            let real = cursors.lock().unwrap().real.get(&asked).copied().unwrap_or(asked);
            words[place] = real.to_string().into_bytes();
        }
        server.write_all(&encode(&words)).await?;
        let mut reply = Vec::new();
        read_reply(&mut server, &mut reply).await?;
        let reply = match command.as_slice() {
            _ if scans => scanned(&reply, &differences, &mut cursors.lock().unwrap()),
            b"INFO" => reported(&reply, words.len() > 1, &differences),
            _ => reply,
        };
        client.write_all(&reply).await?;
    }
}

/// A page of SCAN with its cursor replaced.
fn scanned(reply: &[u8], differences: &Differences, cursors: &mut Cursors) -> Vec<u8> {
    cursors.scans += 1;
    let text = String::from_utf8_lossy(reply).into_owned();
    let Some(rest) = text.strip_prefix("*2\r\n$") else { return reply.to_vec() };
    let (_, rest) = rest.split_once("\r\n").unwrap();
    let (real, _) = rest.split_once("\r\n").unwrap();
    let begin = 4 + text[4..].find("\r\n").unwrap() + 2 + real.len() + 2;
    let (real, mut page) = (real.parse::<u64>().unwrap(), reply[begin..].to_vec());
    if differences.repeats.is_some_and(|every| cursors.scans.is_multiple_of(every)) {
        page = joined(&cursors.page, &page);
    }
    cursors.page.clone_from(&reply[begin..].to_vec());
    let opaque = differences.opaque_from.is_some_and(|from| cursors.scans > from);
    let shown = match differences.circle_from {
        Some(from) if cursors.scans > from => (1 << 50) | (cursors.scans % 5),
        _ if real == 0 || !opaque => real,
        _ => fastrand::u64(1 << 50..),
    };
    if shown != real {
        cursors.real.insert(shown, real);
    }
    let digits = shown.to_string();
    [format!("*2\r\n${}\r\n{digits}\r\n", digits.len()).into_bytes(), page].concat()
}

/// Two arrays as one.
fn joined(one: &[u8], other: &[u8]) -> Vec<u8> {
    let parts = |array: &[u8]| {
        let end = array.windows(2).position(|pair| pair == b"\r\n")?;
        let count: usize = String::from_utf8_lossy(&array[1..end]).parse().ok()?;
        Some((count, array[end + 2..].to_vec()))
    };
    let ((one, first), (other, second)) = (parts(one).unwrap_or_default(), parts(other).unwrap());
    [format!("*{}\r\n", one + other).into_bytes(), first, second].concat()
}

/// INFO with the differences.
fn reported(reply: &[u8], of_section: bool, differences: &Differences) -> Vec<u8> {
    let text = String::from_utf8_lossy(reply);
    let Some((_, body)) = text.split_once("\r\n").filter(|_| text.starts_with('$')) else {
        return reply.to_vec();
    };
    let mut lines: Vec<String> = body.trim_end().lines().map(str::to_owned).collect();
    if differences.hides_history && of_section {
        lines.retain(|line| !line.starts_with("master_replid"));
    }
    if let Some(keyspace) = differences.keyspace {
        lines.retain(|line| !line.starts_with("db0:"));
        if !keyspace.is_empty() {
            lines.push(format!("db0:{keyspace},avg_ttl=0"));
        }
    }
    lines.extend(differences.name.map(str::to_owned));
    let body = lines.join("\r\n") + "\r\n";
    format!("${}\r\n{body}\r\n", body.len()).into_bytes()
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = from.read_until(b'\n', &mut line).await?;
    Ok((read > 0).then_some(line))
}

fn number(line: &[u8]) -> i64 {
    String::from_utf8_lossy(&line[1..]).trim_end().parse().unwrap()
}

async fn request(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<Vec<u8>>>> {
    let Some(head) = line(from).await? else { return Ok(None) };
    let mut words = Vec::new();
    for _ in 0..number(&head) {
        let Some(head) = line(from).await? else { return Ok(None) };
        let mut word = vec![0; usize::try_from(number(&head)).unwrap() + 2];
        from.read_exact(&mut word).await?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Ok(Some(words))
}

/// Appends one complete RESP2 or RESP3 reply, unchanged.
async fn read_reply(from: &mut (impl AsyncBufRead + Unpin), out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut left = 1;
    while left > 0 {
        left -= 1;
        let head = line(from).await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        out.extend(&head);
        match head[0] {
            b'$' | b'=' if number(&head) >= 0 => {
                let mut body = vec![0; usize::try_from(number(&head)).unwrap() + 2];
                from.read_exact(&mut body).await?;
                out.extend(body);
            }
            b'*' | b'~' | b'>' => left += number(&head).max(0),
            b'%' => left += 2 * number(&head),
            _ => {}
        }
    }
    Ok(())
}
