//! Reads the text of `CLUSTER NODES`. Only here a node tells of its open slots (those being moved), and
//! only of its own. Deliberately absent: ping and pong times, the bus port, and the auxiliary fields that
//! `nodes.conf` has after the hostname.
//!
//! A line: `id ip:port@busport,hostname flags primary ping pong epoch link slot slot-slot [slot->-id]`.

use super::parse_error::ParseError;
use crate::ids::NodeId;
use crate::slot::{SLOTS, SlotSet};

/// What one node knows of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// The node's name.
    pub id: NodeId,
    /// Where it listens.
    pub address: Address,
    /// What the asked node thinks of it.
    pub flags: Flags,
    /// The primary of a replica; `None` for a primary.
    pub replica_of: Option<NodeId>,
    /// Grows with every change of slot ownership by this node. A replica shows its primary's.
    pub config_epoch: u64,
    /// Whether the bus link from the asked node stands.
    pub connected: bool,
    /// The slots it owns. A slot being moved belongs to its source until the very end.
    pub slots: SlotSet,
    /// Slots being moved, in the line of the asked node itself; always empty in other lines.
    pub open: Vec<OpenSlot>,
}

/// Where a node listens, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The IP address, IPv6 without brackets. Empty where a node does not know its own yet: it is then the
    /// host that was asked.
    pub host: String,
    /// The client port; 0 if unknown. With TLS on the bus this is the TLS port.
    pub port: u16,
    /// The announced name, from Redis 7.0 on and where one is set.
    pub hostname: Option<String>,
}

/// The flags that matter here; more than one can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The line of the node that was asked.
    pub myself: bool,
    /// A primary.
    pub master: bool,
    /// A replica.
    pub slave: bool,
    /// Held for dead by the majority.
    pub fail: bool,
    /// Suspected by the asked node alone (`fail?`).
    pub pfail: bool,
    /// Its address is not known.
    pub noaddr: bool,
    /// Met, but not yet accepted.
    pub handshake: bool,
}

/// A slot on its way from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSlot {
    /// Which slot.
    pub slot: u16,
    /// Which way, seen from the asked node.
    pub direction: Direction,
    /// The node at the other end.
    pub peer: NodeId,
}

/// Which way an open slot moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the asked node: `[77-<-id]`.
    Importing,
    /// Away from the asked node: `[93->-id]`.
    Migrating,
}

/// Reads all lines; empty ones are skipped.
///
/// # Errors
/// On the first line that is none: a line left out could hide slots, and so a gap in coverage.
pub fn parse(text: &str) -> Result<Vec<NodeLine>, ParseError> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<NodeLine, ParseError> {
    let mut fields = line.split_ascii_whitespace();
    let mut next = |what| fields.next().ok_or_else(|| ParseError::new(what, line));
    let id = NodeId::new(next("the id of a node")?);
    let address = parse_address(next("the address of a node")?)?;
    let flags = parse_flags(next("the flags of a node")?);
    let primary = next("the primary of a node")?;
    let _ping_sent = next("the ping time of a node")?;
    let _pong_received = next("the pong time of a node")?;
    let epoch = next("the config epoch of a node")?;
    let link = next("the link state of a node")?;
    let mut node = NodeLine {
        id,
        address,
        flags,
        replica_of: (primary != "-").then(|| NodeId::new(primary)),
        config_epoch: epoch.parse().map_err(|_| ParseError::new("a config epoch", epoch))?,
        connected: link == "connected",
        slots: SlotSet::new(),
        open: Vec::new(),
    };
    for token in fields {
        if let Some(open) = token.strip_prefix('[') {
            node.open.push(parse_open(open).ok_or_else(|| ParseError::new("an open slot", token))?);
        } else {
            let (first, last) = token.split_once('-').unwrap_or((token, token));
            parse_range(&mut node.slots, first, last)
                .ok_or_else(|| ParseError::new("a slot range", token))?;
        }
    }
    Ok(node)
}

fn parse_range(slots: &mut SlotSet, first: &str, last: &str) -> Option<()> {
    slots.insert_range(first.parse().ok()?, last.parse().ok()?).ok()
}

/// Reads `host:port`, `host:port@busport` or `host:port@busport,hostname,name=value…`.
fn parse_address(text: &str) -> Result<Address, ParseError> {
    let (endpoint, extra) = text.split_once(',').unwrap_or((text, ""));
    let (endpoint, _bus_port) = endpoint.split_once('@').unwrap_or((endpoint, ""));
    let hostname = extra.split(',').next().filter(|name| !name.is_empty() && !name.contains('='));
    // From the right, as an IPv6 address has colons of its own.
    let parts = endpoint.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| ParseError::new("the address of a node", text))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(Address { host: host.to_owned(), port, hostname: hostname.map(str::to_owned) })
}

/// Unknown flags are skipped: servers add some, such as `nofailover`.
fn parse_flags(text: &str) -> Flags {
    let mut flags = Flags::default();
    for flag in text.split(',') {
        match flag {
            "myself" => flags.myself = true,
            "master" => flags.master = true,
            "slave" => flags.slave = true,
            "fail" => flags.fail = true,
            "fail?" => flags.pfail = true,
            "noaddr" => flags.noaddr = true,
            "handshake" => flags.handshake = true,
            _ => {}
        }
    }
    flags
}

/// Reads `93->-id]` and `77-<-id]`, the opening bracket being gone.
fn parse_open(text: &str) -> Option<OpenSlot> {
    let (slot, rest) = text.strip_suffix(']')?.split_once('-')?;
    let (direction, peer) = match rest.split_once('-')? {
        (">", peer) => (Direction::Migrating, peer),
        ("<", peer) => (Direction::Importing, peer),
        _ => return None,
    };
    let slot = slot.parse().ok().filter(|&slot| slot < SLOTS)?;
    Some(OpenSlot { slot, direction, peer: NodeId::new(peer) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From a cluster of redis-server 7.0.15 whose replica had been killed.
    const CAPTURED: &str = "\
676368050199fd879908f0cb202b9bf21d1995de 127.0.0.1:17563@27563 slave,fail 6c0868928d695e8a96d843abeb43e5e01fbc6349 1795341072330 1795341071524 0 disconnected
2904a29b1d72df3e17905daac700a09dd44fe083 127.0.0.1:17562@27562 master - 0 1795341075360 7 connected 8192-16383
6c0868928d695e8a96d843abeb43e5e01fbc6349 127.0.0.1:17561@27561 myself,master - 0 1795341074000 0 connected 0-8191 [93->-2904a29b1d72df3e17905daac700a09dd44fe083] [9000-<-2904a29b1d72df3e17905daac700a09dd44fe083]
";

    #[test]
    fn a_captured_reply() {
        let nodes = parse(CAPTURED).unwrap();
        let [replica, other, myself] = nodes.as_slice() else { panic!("{nodes:?}") };
        assert_eq!(replica.flags, Flags { slave: true, fail: true, ..Flags::default() });
        assert_eq!(replica.replica_of.as_ref(), Some(&myself.id));
        assert!(!replica.connected && replica.slots.is_empty() && replica.open.is_empty());
        assert_eq!((other.config_epoch, other.connected, &other.replica_of), (7, true, &None));
        assert_eq!(other.slots.ranges(), [(8192, 16_383)]);
        assert_eq!(myself.flags, Flags { myself: true, master: true, ..Flags::default() });
        let open = |slot, direction| OpenSlot { slot, direction, peer: other.id.clone() };
        assert_eq!(myself.open, [open(93, Direction::Migrating), open(9000, Direction::Importing)]);
    }

    #[test]
    fn addresses() {
        for (text, host, port, hostname) in [
            ("10.0.0.1:7000", "10.0.0.1", 7000, None),
            (":17555@27555", "", 17_555, None),
            ("10.1.1.1:17555@27555,h.example", "10.1.1.1", 17_555, Some("h.example")),
            ("10.1.1.1:1@2,,tls-port=0,shard-id=ab", "10.1.1.1", 1, None),
            ("::1:7000@17000", "::1", 7000, None),
            ("[2001:db8::1]:7000@17000", "2001:db8::1", 7000, None),
            (":0@0", "", 0, None),
        ] {
            let hostname = hostname.map(str::to_owned);
            assert_eq!(parse_address(text), Ok(Address { host: host.to_owned(), port, hostname }));
        }
        assert!(parse_address("10.0.0.1").is_err() && parse_address("a:70000@1").is_err());
    }

    #[test]
    fn broken_lines_are_refused() {
        let check = |slots: &str, expected: &str| {
            let text = format!("id 1.1.1.1:1@2 master - 0 0 3 connected {slots}");
            assert_eq!(parse(&text).unwrap_err().to_string(), expected);
        };
        check("5-2", "parse a slot range in `5-2`");
        check("0-16384", "parse a slot range in `0-16384`");
        check("[16384->-x]", "parse an open slot in `[16384->-x]`");
        check("[3=>=x]", "parse an open slot in `[3=>=x]`");
        assert_eq!(
            parse("id 1.1.1.1:1").unwrap_err().to_string(),
            "parse the flags of a node in `id 1.1.1.1:1`"
        );
        assert_eq!(parse("\r\n\n").unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_text_is_harmless(text: String, slots in r"[0-9\[\]<> -]{0,40}", address in "[:@,a=0-9]{0,12}") {
            let _ = parse(&text);
            let _ = parse(&format!("id {address} master - 0 0 3 connected {slots}"));
        }
    }
}
