//! RESP over a blocking socket with minimal work: replies are parsed in the receive buffer, without an allocation per
//! reply. It supports only the replies that floor and foreground need.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use keysweep_model::slot::SLOTS;

/// The most bytes per read from the socket.
const BUFFER_BYTES: usize = 1 << 18;

/// A connection, and the received bytes that were not parsed yet.
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Raw {
    /// Connects to `redis://host:port`.
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let address = url.strip_prefix("redis://").unwrap_or(url);
        let stream =
            TcpStream::connect(address).with_context(|| format!("failed to connect to `{address}`"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 })
    }

    /// Sends bytes that are complete commands.
    pub(crate) fn send(&mut self, commands: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(commands)?)
    }

    /// The next line of a reply, without its terminator.
    pub(crate) fn line(&mut self) -> Result<&[u8]> {
        let length = self.line_length()?;
        let line = self.start..self.start + length;
        self.start += length + 2;
        Ok(&self.buffer[line])
    }

    /// The number in the next reply, which starts with `kind`: `:` for an integer, `*` for an array's length.
    pub(crate) fn number(&mut self, kind: u8) -> Result<i64> {
        let line = self.line()?;
        match line.split_first() {
            Some((first, digits)) if *first == kind => integer(digits),
            _ => bail!("the server returned `{}`", String::from_utf8_lossy(line)),
        }
    }

    /// The next reply, a bulk string, in wire format: `$3\r\nkey\r\n`.
    pub(crate) fn bulk(&mut self) -> Result<&[u8]> {
        let head = self.line_length()?;
        let line = &self.buffer[self.start..self.start + head];
        let Some((b'$', digits)) = line.split_first() else {
            bail!("the server returned `{}`", String::from_utf8_lossy(line));
        };
        let body = usize::try_from(integer(digits)?).context("a key is missing")?;
        let length = head + 2 + body + 2;
        while self.end - self.start < length {
            self.fill()?;
        }
        let bulk = self.start..self.start + length;
        self.start += length;
        Ok(&self.buffer[bulk])
    }

    /// The slots that the server owns; all slots if it is standalone.
    pub(crate) fn own_slots(&mut self) -> Result<Vec<u16>> {
        self.send(b"CLUSTER NODES\r\n")?;
        self.line_length()?;
        if self.buffer[self.start] == b'-' {
            self.line()?;
            return Ok((0..SLOTS).collect());
        }
        let bulk = self.bulk()?;
        Ok(slots_of_myself(&String::from_utf8_lossy(bulk)))
    }

    fn line_length(&mut self) -> Result<usize> {
        let mut looked_at = 0;
        loop {
            let present = &self.buffer[self.start..self.end];
            if let Some(found) = present[looked_at..].iter().position(|byte| *byte == b'\r')
                && looked_at + found + 1 < present.len()
            {
                return Ok(looked_at + found);
            }
            looked_at = present.len().saturating_sub(1);
            self.fill()?;
        }
    }

    /// Reads more bytes after moving the remaining ones to the front; the buffer grows if it is full.
    fn fill(&mut self) -> Result<()> {
        if self.end == self.buffer.len() || self.start == self.end {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn integer(digits: &[u8]) -> Result<i64> {
    let (sign, digits) = digits.strip_prefix(b"-").map_or((1, digits), |rest| (-1, rest));
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            bail!("`{}` is no number", String::from_utf8_lossy(digits));
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Ok(sign * value)
}

/// The slots in the server's own line of CLUSTER NODES.
fn slots_of_myself(nodes: &str) -> Vec<u16> {
    let Some(line) = nodes.lines().find(|line| line.contains("myself")) else { return Vec::new() };
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    line.split_whitespace().skip(8).filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A connection whose server sends `pieces` one by one.
    fn answered(pieces: &[&'static [u8]]) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let pieces = pieces.to_vec();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(piece).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        Raw::connect(&url).unwrap()
    }

    #[test]
    fn replies_that_arrive_in_pieces_are_read_whole() {
        let mut raw = answered(&[b"*2\r", b"\n$3\r\nk\r", b"\n\r", b"\n$0\r\n\r\n:-", b"1\r\n"]);
        assert_eq!(raw.number(b'*').unwrap(), 2);
        assert_eq!(raw.bulk().unwrap(), b"$3\r\nk\r\n\r\n");
        assert_eq!(raw.bulk().unwrap(), b"$0\r\n\r\n");
        assert_eq!(raw.number(b':').unwrap(), -1);
        assert!(raw.number(b':').unwrap_err().to_string().contains("closed the connection"));
    }

    #[test]
    fn the_buffer_grows_with_a_reply() {
        let body: &'static [u8] = vec![b'x'; 3 * BUFFER_BYTES].leak();
        let mut raw = answered(&[b"$786432\r\n", body, b"\r\n+OK\r\n"]);
        assert_eq!(raw.bulk().unwrap().len(), 9 + body.len() + 2);
        assert_eq!(raw.line().unwrap(), b"+OK");
    }

    #[test]
    fn an_unexpected_reply_is_an_error() {
        for answer in [b"-ERR no\r\n" as &[u8], b":x1\r\n"] {
            let mut raw = answered(&[answer]);
            assert!(raw.number(b':').is_err());
        }
        assert!(answered(&[b"$-1\r\n"]).bulk().is_err());
    }

    #[test]
    fn own_slots_are_read_from_the_line_of_myself() {
        let nodes = "a 127.0.0.1:1@2 master - 0 0 1 connected 0-5\n\
                     b 127.0.0.1:3@4 myself,master - 0 0 2 connected 6-8 10\n";
        assert_eq!(slots_of_myself(nodes), [6, 7, 8, 10]);
        assert_eq!(slots_of_myself(""), [0; 0]);
    }
}
