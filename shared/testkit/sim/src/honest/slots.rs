//! Nodes of a simulated cluster list the keys of slots, and refuse what real ones refuse.

use std::collections::BTreeSet;

use keysweep_model::slot::{slot_of, tag_for};
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisClient, Reply};
use keysweep_servers::ClusterServers;

use super::simulated;

/// Keys, of which several have the same slot.
fn keys() -> Vec<String> {
    (0..300).map(|n| format!("key:{{{}}}:{n}", n * n % 41)).collect()
}

/// A node of each primary; the first one serves the slot.
async fn nodes(client: &RedisClient, slot: u16) -> Vec<Conn> {
    let topology = client.topology();
    let (owners, others): (Vec<_>, Vec<_>) =
        topology.primaries.iter().partition(|primary| primary.slots.contains(slot));
    let mut conns = Vec::new();
    for primary in owners.into_iter().chain(others) {
        conns.push(client.conn(&primary.node).await.unwrap());
    }
    conns
}

/// What a node answers; addresses are left out.
async fn answer(conn: &Conn, words: &[&[u8]]) -> String {
    match conn.command(words).await {
        Ok(Reply::Array(keys)) => format!("{} keys", keys.len()),
        Ok(reply) => format!("{reply:?}"),
        Err(e) => format!("{:?}", e.kind),
    }
}

async fn listed(conn: &Conn, slot: &str, most: &str) -> BTreeSet<String> {
    let reply =
        conn.command(&[b"CLUSTER", b"GETKEYSINSLOT", slot.as_bytes(), most.as_bytes()]).await.unwrap();
    let Reply::Array(keys) = reply else { panic!("{reply:?}") };
    let names: BTreeSet<String> = keys.iter().map(|key| format!("{key:?}")).collect();
    assert_eq!(names.len(), keys.len(), "each once");
    names
}

#[tokio::test]
async fn slots_are_listed_and_refused_as_real_nodes_do() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let real = RedisClient::discover(ConnectOptions::open(cluster.urls())).await.unwrap();
    let clients = [simulated(3).await, real];
    let slots: BTreeSet<u16> = keys().iter().map(|key| slot_of(key.as_bytes())).collect();
    for client in &clients {
        for key in keys() {
            let owner = &nodes(client, slot_of(key.as_bytes())).await[0];
            owner.command(&[b"SET", key.as_bytes(), b"x"]).await.unwrap();
        }
    }
    for slot in slots.into_iter().chain([9]) {
        let text = slot.to_string();
        let of_slot: Vec<String> = keys().into_iter().filter(|key| slot_of(key.as_bytes()) == slot).collect();
        let conns = [nodes(&clients[0], slot).await, nodes(&clients[1], slot).await];
        let all = [listed(&conns[0][0], &text, "1000").await, listed(&conns[1][0], &text, "1000").await];
        assert_eq!((&all[0], all[0].len()), (&all[1], of_slot.len()), "slot {slot}");
        for most in ["0", "1", "3"] {
            let some = [listed(&conns[0][0], &text, most).await, listed(&conns[1][0], &text, most).await];
            assert_eq!(some[0].len(), some[1].len(), "slot {slot}, {most}");
            assert!(some[0].is_subset(&all[0]), "{some:?}");
        }
        let none = format!("{{{}}}none", tag_for(slot));
        let key = of_slot.first().unwrap_or(&none).as_bytes();
        for words in [
            [b"CLUSTER".as_slice(), b"COUNTKEYSINSLOT", text.as_bytes()].as_slice(),
            &[b"CLUSTER", b"GETKEYSINSLOT", text.as_bytes(), b"10"],
            &[b"PTTL", key],
            &[b"UNLINK", key, b"of another slot"],
            &[b"WATCH", key, b"of another slot"],
        ] {
            for (ours, theirs) in conns[0].iter().zip(&conns[1]) {
                assert_eq!(answer(ours, words).await, answer(theirs, words).await, "{words:?}");
            }
        }
    }
}

#[tokio::test]
async fn transactions_keep_to_one_slot_as_at_real_nodes() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let real = RedisClient::discover(ConnectOptions::open(cluster.urls())).await.unwrap();
    let mut answers = Vec::new();
    for client in [simulated(3).await, real] {
        let owner = nodes(&client, slot_of(b"{a}")).await.remove(0);
        let owner = owner.dedicated().await.unwrap();
        // A key of the same slot, and one of another slot of the same node.
        let near = (0..).map(|n| format!("near:{n}")).find(|key| {
            let slot = slot_of(key.as_bytes());
            let topology = client.topology();
            slot != slot_of(b"{a}")
                && topology.owner(slot).map(|of| &of.node)
                    == topology.owner(slot_of(b"{a}")).map(|of| &of.node)
        });
        for other in ["{a}2", &near.unwrap()] {
            let mut batch = Batch::new();
            let commands: [&[&[u8]]; 4] =
                [&[b"MULTI"], &[b"SET", b"{a}1", b"x"], &[b"SET", other.as_bytes(), b"x"], &[b"EXEC"]];
            commands.iter().for_each(|words| batch.add(words));
            let replies = owner.batch(batch).await.map_err(|e| e.kind);
            let there = owner.command(&[b"EXISTS", b"{a}1"]).await.unwrap();
            answers.push(format!("{replies:?} {there:?}"));
            owner.command(&[b"UNLINK", b"{a}1"]).await.unwrap();
        }
    }
    assert_eq!(answers[..2], answers[2..]);
    assert_ne!(answers[0], answers[1]);
}
