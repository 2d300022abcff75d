//! Parses commands and encodes replies, in the subset common to RESP2 and RESP3.

/// Takes all complete commands from `bytes`. Panics on invalid bytes.
pub fn take_commands(bytes: &mut Vec<u8>) -> Vec<Vec<Vec<u8>>> {
    let (mut commands, mut taken) = (Vec::new(), 0);
    while let Some((command, length)) = command(&bytes[taken..]) {
        commands.push(command);
        taken += length;
    }
    bytes.drain(..taken);
    commands
}

/// The first command, and its length in bytes; `None` if it is incomplete.
fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (count, mut at) = header(bytes, b'*')?;
    let mut args = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = header(bytes.get(at..)?, b'$')?;
        let arg = bytes.get(at + start..at + start + length)?;
        args.push(arg.to_vec());
        at += start + length + 2;
    }
    (at <= bytes.len()).then_some((args, at))
}

/// The number in a line such as `*3`, and the length of the line.
fn header(bytes: &[u8], kind: u8) -> Option<(usize, usize)> {
    assert!(bytes.first().is_none_or(|first| *first == kind), "no command: {}", bytes.escape_ascii());
    let end = bytes.windows(2).take(32).position(|pair| pair == b"\r\n")?;
    let number = str::from_utf8(&bytes[1..end]).expect("digits").parse().expect("a number");
    Some((number, end + 2))
}

/// A reply that is being encoded.
pub trait Reply {
    /// `+OK` and the like.
    fn status(&mut self, text: &str);
    /// An error, starting with its code.
    fn error(&mut self, text: &str);
    /// A number.
    fn number(&mut self, number: i64);
    /// A bulk string.
    fn bulk(&mut self, bytes: impl AsRef<[u8]>);
    /// The header of an array with this many elements, which follow.
    fn array(&mut self, count: usize);
}

impl Reply for Vec<u8> {
    fn status(&mut self, text: &str) {
        self.extend(format!("+{text}\r\n").bytes());
    }

    fn error(&mut self, text: &str) {
        self.extend(format!("-{text}\r\n").bytes());
    }

    fn number(&mut self, number: i64) {
        self.extend(format!(":{number}\r\n").bytes());
    }

    fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.extend(format!("${}\r\n", bytes.len()).bytes());
        self.extend(bytes);
        self.extend(b"\r\n");
    }

    fn array(&mut self, count: usize) {
        self.extend(format!("*{count}\r\n").bytes());
    }
}

#[test]
fn split_commands_are_parsed_the_same() {
    let whole = b"*2\r\n$4\r\nPTTL\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n";
    for cut in 0..whole.len() {
        let mut unread = whole[..cut].to_vec();
        let mut commands = take_commands(&mut unread);
        unread.extend(&whole[cut..]);
        commands.extend(take_commands(&mut unread));
        assert_eq!(commands, [vec![b"PTTL".to_vec(), b"a".to_vec()], vec![b"PING".to_vec()]], "cut at {cut}");
    }
}
