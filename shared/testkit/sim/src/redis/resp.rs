//! Commands as clients send them, and replies, in RESP2.

use std::fmt::Write as _;

/// A command: its name and arguments.
pub(crate) type Command = Vec<Vec<u8>>;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// A simple string.
    Status(&'static str),
    /// An error, with its code.
    Error(String),
    /// A number.
    Int(i64),
    /// A string; `None` if there is none.
    Bulk(Option<Vec<u8>>),
    /// Several.
    Array(Vec<Reply>),
}

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");

    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(Some(text.into()))
    }

    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// Appends its bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let line = |out: &mut Vec<u8>, kind: char, text: &str| {
            let mut head = String::new();
            let _ = write!(head, "{kind}{text}\r\n");
            out.extend_from_slice(head.as_bytes());
        };
        match self {
            Self::Status(text) => line(out, '+', text),
            Self::Error(text) => line(out, '-', text),
            Self::Int(number) => line(out, ':', &number.to_string()),
            Self::Bulk(None) => line(out, '$', "-1"),
            Self::Bulk(Some(bytes)) => {
                line(out, '$', &bytes.len().to_string());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Array(items) => {
                line(out, '*', &items.len().to_string());
                items.iter().for_each(|item| item.write(out));
            }
        }
    }
}

/// Takes the next complete command out of what a client has sent, from `at` on, which moves behind it; `None` if there is
/// none yet.
///
/// # Errors
/// What is no command.
pub(crate) fn take(sent: &[u8], at: &mut usize) -> Result<Option<Command>, String> {
    let mut next = *at;
    let Some(words) = header(sent, &mut next, b'*')? else { return Ok(None) };
    let mut command = Vec::with_capacity(words);
    for _ in 0..words {
        let Some(length) = header(sent, &mut next, b'$')? else { return Ok(None) };
        if sent.len() < next + length + 2 {
            return Ok(None);
        }
        command.push(sent[next..next + length].to_vec());
        next += length + 2;
    }
    *at = next;
    Ok(Some(command))
}

/// The number in a header such as `*3`, which moves `at` behind it; `None` if it is not complete.
fn header(sent: &[u8], at: &mut usize, kind: u8) -> Result<Option<usize>, String> {
    let rest = &sent[*at..];
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = &rest[..end];
    let number = line.strip_prefix(&[kind]).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let number = number.ok_or_else(|| format!("`{}` is no header", String::from_utf8_lossy(line)))?;
    *at += end + 2;
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_as_they_become_complete() {
        let (mut sent, mut at) = (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPI".to_vec(), 0);
        assert_eq!(take(&sent, &mut at).unwrap().unwrap(), [b"GET".to_vec(), b"k".to_vec()]);
        assert_eq!(take(&sent, &mut at).unwrap(), None);
        sent.extend_from_slice(b"NG\r\n");
        assert_eq!(take(&sent, &mut at).unwrap().unwrap(), [b"PING".to_vec()]);
        assert!(take(b"PING\r\n", &mut 0).is_err());
    }

    #[test]
    fn replies_have_the_bytes_of_the_protocol() {
        let mut out = Vec::new();
        Reply::Array(vec![Reply::OK, Reply::Int(-2), Reply::Bulk(None), Reply::text("ab")]).write(&mut out);
        assert_eq!(out, b"*4\r\n+OK\r\n:-2\r\n$-1\r\n$2\r\nab\r\n");
    }
}
