//! Parses the slot owners from the replies of `CLUSTER SHARDS` (from Redis 7.0 on) and `CLUSTER SLOTS` (older servers).
//! Deliberately absent: whether all slots are covered, and any I/O.

mod reply;

use keysweep_model::ids::NodeId;
use keysweep_model::slot::SlotSet;
use redis::Value;

use self::reply::{field, items, number, text};
use super::parse_error::ParseError;
use crate::limits::NODE_ID_BYTES_MAX;

/// A primary with its replicas and slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The slots of the shard; `CLUSTER SHARDS` also lists shards without any.
    pub slots: SlotSet,
    /// Its nodes as listed. During a failover there may be no primary, or more than one.
    pub nodes: Vec<ShardNode>,
}

/// A node as its cluster announces it to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    /// The node's name.
    pub id: NodeId,
    /// The announced endpoint (IP address or hostname, as the cluster prefers). Empty means the host that was queried:
    /// the server announces none (null) or does not know its own address yet (empty string).
    pub host: String,
    /// The port without TLS, or the only port if there is no such port; 0 if unknown. In the reply of `CLUSTER SLOTS`
    /// it is the port for the type of connection over which the command was sent.
    pub port: u16,
    /// The port with TLS, if `CLUSTER SHARDS` names one.
    pub tls_port: Option<u16>,
    /// Whether it is the primary.
    pub primary: bool,
    /// Whether the node's health is `online`. `CLUSTER SLOTS` lists no failed replicas and reports no health of
    /// primaries: there it is always true.
    pub online: bool,
}

impl ShardNode {
    /// The port for a connection with or without TLS.
    #[must_use]
    pub fn port_for(&self, tls: bool) -> u16 {
        self.tls_port.filter(|_| tls).unwrap_or(self.port)
    }
}

/// Parses the reply of `CLUSTER SHARDS`; unknown names in it are skipped.
///
/// # Errors
/// When slots, nodes, ids or roles are missing or malformed.
pub fn parse_shards(reply: &Value) -> Result<Vec<Shard>, ParseError> {
    items(reply, "the shards")?.iter().map(parse_shard).collect()
}

fn parse_shard(value: &Value) -> Result<Shard, ParseError> {
    let slots = field(value, "slots").ok_or_else(|| ParseError::of_value("the slots of a shard", value))?;
    let nodes = field(value, "nodes").ok_or_else(|| ParseError::of_value("the nodes of a shard", value))?;
    Ok(Shard {
        slots: parse_flat_ranges(slots)?,
        nodes: items(nodes, "the nodes of a shard")?
            .iter()
            .map(parse_shard_node)
            .collect::<Result<_, _>>()?,
    })
}

/// Parses the first and last slot of each range from one array of numbers.
fn parse_flat_ranges(value: &Value) -> Result<SlotSet, ParseError> {
    let (pairs, rest) = items(value, "the slots of a shard")?.as_chunks::<2>();
    let mut slots = SlotSet::new();
    for [first, last] in pairs {
        insert(&mut slots, first, last).ok_or_else(|| ParseError::of_value("a slot range", value))?;
    }
    if rest.is_empty() { Ok(slots) } else { Err(ParseError::of_value("the slots of a shard", value)) }
}

fn parse_shard_node(value: &Value) -> Result<ShardNode, ParseError> {
    let part =
        |name, what| field(value, name).and_then(text).ok_or_else(|| ParseError::of_value(what, value));
    let port = |name| match field(value, name) {
        None => Ok(None),
        Some(port) => number(port).map(Some).ok_or_else(|| ParseError::of_value("the port of a node", value)),
    };
    let tls_port = port("tls-port")?;
    let ip = field(value, "ip");
    Ok(ShardNode {
        id: node_id(&part("id", "the id of a node")?, value)?,
        host: host(field(value, "endpoint").or(ip), ip),
        port: port("port")?.or(tls_port).unwrap_or(0),
        tls_port,
        primary: part("role", "the role of a node")? == "master",
        online: part("health", "the health of a node")? == "online",
    })
}

/// Parses the reply of `CLUSTER SLOTS`. Its rows are ranges; those of one primary become one shard, with the nodes of
/// the first row, because the server writes the same replicas into each.
///
/// # Errors
/// When a row or a node is malformed, or a node has no id (before Redis 4.0).
pub fn parse_slots(reply: &Value) -> Result<Vec<Shard>, ParseError> {
    let primary_of = |shard: &Shard| shard.nodes.first().map(|node| node.id.clone());
    let mut shards: Vec<Shard> = Vec::new();
    for row in items(reply, "the slot ranges")? {
        let shard = parse_row(row)?;
        let primary = primary_of(&shard);
        match shards.iter_mut().find(|known| primary_of(known) == primary) {
            Some(known) => known.slots.extend(&shard.slots),
            None => shards.push(shard),
        }
    }
    Ok(shards)
}

/// Parses `[first, last, primary, replica…]`.
fn parse_row(row: &Value) -> Result<Shard, ParseError> {
    let [first, last, nodes @ ..] = items(row, "a slot range")? else {
        return Err(ParseError::of_value("a slot range", row));
    };
    let mut slots = SlotSet::new();
    insert(&mut slots, first, last).ok_or_else(|| ParseError::of_value("a slot range", row))?;
    if nodes.is_empty() {
        return Err(ParseError::of_value("the primary of a slot range", row));
    }
    let nodes = nodes.iter().enumerate().map(|(index, node)| parse_row_node(node, index == 0));
    Ok(Shard { slots, nodes: nodes.collect::<Result<_, _>>()? })
}

/// Parses `[endpoint, port, id, metadata]`; metadata exists from Redis 7.0 on and contains the alternative endpoint.
fn parse_row_node(value: &Value, primary: bool) -> Result<ShardNode, ParseError> {
    let [endpoint, port, id, more @ ..] = items(value, "a node")? else {
        return Err(ParseError::of_value("a node", value));
    };
    let id = text(id).ok_or_else(|| ParseError::of_value("the id of a node", value))?;
    let id = node_id(&id, value)?;
    let port = number(port).ok_or_else(|| ParseError::of_value("the port of a node", value))?;
    let ip = more.first().and_then(|metadata| field(metadata, "ip"));
    Ok(ShardNode { id, host: host(Some(endpoint), ip), port, tls_port: None, primary, online: true })
}

/// The node id, which appears in records and logs.
fn node_id(id: &str, node: &Value) -> Result<NodeId, ParseError> {
    let is_name =
        (1..=NODE_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name { Ok(NodeId::new(id)) } else { Err(ParseError::of_value("the id of a node", node)) }
}

/// The host to connect to. `?` means a preferred but unset hostname: then the IP address, if known, is better than the
/// host that was queried, which may be another node's.
fn host(endpoint: Option<&Value>, ip: Option<&Value>) -> String {
    match endpoint.and_then(text) {
        Some(name) if name == "?" => {
            ip.and_then(text).filter(|ip| ip != "?").unwrap_or_default().into_owned()
        }
        name => name.unwrap_or_default().into_owned(),
    }
}

fn insert(slots: &mut SlotSet, first: &Value, last: &Value) -> Option<()> {
    slots.insert_range(number(first)?, number(last)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes RESP in which a space replaces each end of line.
    fn reply(resp: &str) -> Value {
        redis::parse_redis_value(resp.replace(' ', "\r\n").as_bytes()).unwrap()
    }

    fn node(id: &str, host: &str, port: u16, primary: bool, online: bool) -> ShardNode {
        ShardNode { id: NodeId::new(id), host: host.to_owned(), port, tls_port: None, primary, online }
    }

    #[track_caller]
    fn check(shards: Result<Vec<Shard>, ParseError>, expected: &[(&str, &[ShardNode])]) {
        let shards = shards.unwrap();
        let found: Vec<_> = shards.iter().map(|s| (s.slots.to_string(), s.nodes.as_slice())).collect();
        let expected: Vec<_> = expected.iter().map(|&(slots, nodes)| (slots.to_owned(), nodes)).collect();
        assert_eq!(found, expected);
    }

    /// The end of a node in redis-server 7.0.15's `CLUSTER SHARDS`; the tests use shortened ids.
    const ONLINE: &str = "$4 role $6 master $18 replication-offset :14 $6 health $6 online ";
    const FAILED: &str = "$4 role $7 replica $18 replication-offset :0 $6 health $4 fail ";

    #[test]
    fn shards_are_parsed_in_both_protocols() {
        let at = |port| format!("$4 port :{port} $2 ip $9 127.0.0.1 $8 endpoint $9 127.0.0.1 ");
        let (a, b) = (at(17_561), at(17_563));
        let slots = "$5 slots *6 :0 :100 :200 :200 :300 :16383 $5 nodes *2";
        let expected =
            [node("aa", "127.0.0.1", 17_561, true, true), node("bb", "127.0.0.1", 17_563, false, false)];
        let resp2 = format!("*1 *4 {slots} *14 $2 id $2 aa {a}{ONLINE}*14 $2 id $2 bb {b}{FAILED}");
        check(parse_shards(&reply(&resp2)), &[("0-100, 200, 300-16383", &expected)]);
        let resp3 = format!("*1 %2 {slots} %7 $2 id $2 aa {a}{ONLINE}%7 $2 id $2 bb {b}{FAILED}");
        check(parse_shards(&reply(&resp3)), &[("0-100, 200, 300-16383", &expected)]);
    }

    #[test]
    fn endpoints_and_ports_of_shards_are_parsed() {
        let check_node = |parts: &str, host: &str, port, tls_port| {
            let fields = format!("$2 id $1 a {parts}{ONLINE}");
            let count = reply(&format!("*99 {fields}{}", ":0 ".repeat(99)));
            let expected = ShardNode { tls_port, ..node("a", host, port, true, true) };
            assert_eq!(parse_shard_node(&count), Ok(expected), "{parts}");
        };
        check_node("$4 port :1 $2 ip $0  $8 endpoint $0  ", "", 1, None);
        check_node("$4 port :1 $2 ip $3 1.1 $8 endpoint $-1 ", "", 1, None);
        check_node("$4 port :1 $2 ip $3 1.1 $8 endpoint $1 ? ", "1.1", 1, None);
        check_node("$4 port :1 $2 ip $3 1.1 ", "1.1", 1, None);
        check_node("$8 tls-port :2 $2 ip $3 1.1 $8 endpoint $1 h ", "h", 2, Some(2));
        check_node("$4 port :1 $8 tls-port :2 $2 ip $3 1.1 ", "1.1", 1, Some(2));
    }

    #[test]
    fn slots_rows_are_merged() {
        let row = |range: &str, nodes: &str| format!("{range} {nodes} ");
        let a = "*4 $9 127.0.0.1 :17561 $2 aa *0 *4 $9 127.0.0.1 :17563 $2 cc *0";
        let b = "*4 $1 ? :17562 $2 bb *2 $2 ip $8 10.1.1.1";
        let text =
            format!("*3 {}{}{}", row("*4 :0 :8190", a), row("*3 :8192 :16383", b), row("*4 :8191 :8191", a));
        let first =
            [node("aa", "127.0.0.1", 17_561, true, true), node("cc", "127.0.0.1", 17_563, false, true)];
        let second = [node("bb", "10.1.1.1", 17_562, true, true)];
        check(parse_slots(&reply(&text)), &[("0-8191", &first), ("8192-16383", &second)]);
        check(parse_slots(&reply("*0 ")), &[]);
    }

    #[test]
    fn malformed_replies_are_refused() {
        let message = |resp: &str| parse_shards(&reply(resp)).unwrap_err().to_string();
        assert_eq!(message("$1 x "), "parse the shards in `bulk-string('\"x\"')`");
        assert!(message("*1 *4 $5 slots *1 :3 $5 nodes *0 ").starts_with("parse the slots of a shard in"));
        assert!(message("*1 *4 $5 slots *2 :3 :2 $5 nodes *0 ").starts_with("parse a slot range in"));
        for resp in ["*1 *2 :0 :1 ", "*1 *3 :0 :16384 *3 $1 a :1 $1 b ", "*1 *3 :0 :1 *2 $1 a :1 "] {
            assert!(parse_slots(&reply(resp)).is_err(), "{resp}");
        }
    }

    fn any_reply() -> impl Strategy<Value = Value> {
        let word = prop_oneof!["slots", "nodes", "id", "port", "endpoint", "role", "master", "health", ".*"];
        let leaf = prop_oneof![
            Just(Value::Nil),
            (-1..17_000_i64).prop_map(Value::Int),
            word.prop_map(|word| Value::BulkString(word.into_bytes())),
        ];
        leaf.prop_recursive(6, 128, 8, |inner| {
            let pair = (inner.clone(), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..8).prop_map(Value::Array),
                proptest::collection::vec(pair, 0..5).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_reply_is_parsed_without_panic(reply in any_reply()) {
            let _ = (parse_shards(&reply), parse_slots(&reply), parse_shard_node(&reply), parse_row(&reply));
        }
    }
}
