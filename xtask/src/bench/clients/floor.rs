//! The least work that a cleanup of a cluster requires: one thread per node lists its slots, queries the TTL of every
//! key, and unlinks those without one. It checks, counts, spares and reports nothing, slots must not move, and any
//! error ends it. The difference to keysweep is the cost of exactness.
//!
//! One write contains UNLINKs of the window before the last, PTTLs of the last window, and listings of the next one.
//! Keys are copied once, in wire format, into the next write.

use std::io::Write;

use anyhow::{Context, Result, bail};

use super::raw::Raw;

/// Slots listed in one round trip.
const WINDOW_SLOTS: usize = 16;
/// The largest number of keys in a slot.
const KEYS_PER_SLOT_MAX: usize = 100_000;

/// The position of a key in the bytes of its round.
struct Key {
    from: usize,
    to: usize,
    slot: u16,
}

/// One write, and the replies it will get: first UNLINKs, then PTTLs, then listings.
#[derive(Default)]
struct Round<'a> {
    bytes: Vec<u8>,
    unlinks: usize,
    keys: Vec<Key>,
    listed: &'a [u16],
}

impl Round<'_> {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.unlinks = 0;
        self.keys.clear();
        self.listed = &[];
    }

    /// `key` is in wire format.
    fn ask_ttl(&mut self, key: &[u8], slot: u16) {
        self.bytes.extend_from_slice(b"*2\r\n$4\r\nPTTL\r\n");
        let from = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.keys.push(Key { from, to: self.bytes.len(), slot });
    }

    /// One command for keys of one slot, whose bytes are in `earlier`.
    fn unlink(&mut self, earlier: &[u8], group: &mut Vec<Key>) -> Result<()> {
        if !group.is_empty() {
            write!(self.bytes, "*{}\r\n$6\r\nUNLINK\r\n", group.len() + 1)?;
            group.drain(..).for_each(|key| self.bytes.extend_from_slice(&earlier[key.from..key.to]));
            self.unlinks += 1;
        }
        Ok(())
    }
}

/// Cleans the nodes at `urls` concurrently.
///
/// # Errors
/// Any unexpected reply of a node.
pub(crate) fn run(urls: &[String]) -> Result<()> {
    let threads: Vec<_> =
        urls.iter().cloned().map(|url| std::thread::spawn(move || clean(&mut Raw::connect(&url)?))).collect();
    for thread in threads {
        let Ok(done) = thread.join() else { bail!("a thread of the floor panicked") };
        done?;
    }
    Ok(())
}

fn clean(raw: &mut Raw) -> Result<()> {
    let slots = raw.own_slots()?;
    let mut windows = slots.chunks(WINDOW_SLOTS);
    let (mut sent, mut next) = (Round::default(), Round::default());
    let mut stale = Vec::new();
    loop {
        // A node without further slots may still have keys to query and then to unlink.
        next.listed = windows.next().unwrap_or_default();
        for slot in next.listed {
            let digits = slot.to_string();
            write!(
                next.bytes,
                "*4\r\n$7\r\nCLUSTER\r\n$13\r\nGETKEYSINSLOT\r\n${}\r\n{digits}\r\n",
                digits.len()
            )?;
            write!(next.bytes, "$6\r\n{KEYS_PER_SLOT_MAX}\r\n")?;
        }
        if next.is_empty() {
            return Ok(());
        }
        raw.send(&next.bytes)?;
        std::mem::swap(&mut sent, &mut next);
        next.clear();
        read(raw, &sent, &mut next, &mut stale)?;
    }
}

/// Reads all replies to `sent` and writes the following commands into `next`.
fn read(raw: &mut Raw, sent: &Round<'_>, next: &mut Round<'_>, stale: &mut Vec<Key>) -> Result<()> {
    for _ in 0..sent.unlinks {
        raw.number(b':')?;
    }
    for key in &sent.keys {
        let answer = raw.line()?;
        if answer == b":-1" {
            if stale.last().is_some_and(|last| last.slot != key.slot) {
                next.unlink(&sent.bytes, stale)?;
            }
            stale.push(Key { ..*key });
        } else if answer.first() != Some(&b':') {
            bail!("PTTL returned `{}`", String::from_utf8_lossy(answer));
        }
    }
    next.unlink(&sent.bytes, stale)?;
    for slot in sent.listed {
        let count = usize::try_from(raw.number(b'*')?).context("a listing is missing")?;
        if count == KEYS_PER_SLOT_MAX {
            bail!("slot {slot} has more than {KEYS_PER_SLOT_MAX} keys");
        }
        for _ in 0..count {
            next.ask_ttl(raw.bulk()?, *slot);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_slot_go_together() {
        let mut asked = Round::default();
        asked.ask_ttl(b"$1\r\na\r\n", 7);
        asked.ask_ttl(b"$2\r\nbc\r\n", 7);
        let mut unlinks = Round::default();
        unlinks.unlink(&asked.bytes, &mut Vec::new()).unwrap();
        assert!(unlinks.is_empty());
        unlinks.unlink(&asked.bytes, &mut asked.keys).unwrap();
        assert_eq!(unlinks.bytes, b"*3\r\n$6\r\nUNLINK\r\n$1\r\na\r\n$2\r\nbc\r\n");
        assert_eq!((unlinks.unlinks, asked.keys.len()), (1, 0));
    }
}
