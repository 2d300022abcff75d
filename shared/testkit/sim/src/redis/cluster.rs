//! What nodes say of their cluster and of their users.

use std::net::SocketAddr;

use super::commands::number;
use super::deployment::Deployment;
use super::resp::Reply;

impl Deployment {
    /// The answer of ACL DRYRUN.
    pub(super) fn acl(&self, args: &[Vec<u8>]) -> Reply {
        let asked = args.get(2).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
        let is_script = matches!(asked.as_slice(), b"EVAL" | b"EVALSHA" | b"SCRIPT" | b"EVAL_RO");
        if is_script && !self.runs_scripts {
            return Reply::text("User default has no permissions to run this command");
        }
        Reply::OK
    }

    pub(super) fn cluster(&self, at: usize, args: &[Vec<u8>]) -> Reply {
        let slot = || args.get(1).and_then(|slot| number(slot)).and_then(|slot| u16::try_from(slot).ok());
        match args.first().map(|word| word.to_ascii_uppercase()).as_deref() {
            Some(b"SHARDS") => self.shards(),
            Some(b"NODES") => Reply::text(self.own_line(at)),
            Some(b"COUNTKEYSINSLOT") => {
                let count = slot().map_or(0, |slot| self.nodes[at].keys.in_slot(slot).count());
                Reply::Int(i64::try_from(count).unwrap_or(i64::MAX))
            }
            Some(b"GETKEYSINSLOT") => {
                let most = args.get(2).and_then(|count| number(count)).unwrap_or(0);
                let keys = slot().into_iter().flat_map(|slot| self.nodes[at].keys.in_slot(slot));
                Reply::Array(
                    keys.take(usize::try_from(most).unwrap_or(0))
                        .map(|key| Reply::text(key.clone()))
                        .collect(),
                )
            }
            _ => Reply::error("ERR unknown subcommand of CLUSTER"),
        }
    }

    fn shards(&self) -> Reply {
        let shard = |at: usize| {
            let node = &self.nodes[at];
            let ends = self.ranges(at).iter().flat_map(|(first, last)| [*first, *last]);
            let described = |id: &str, address: SocketAddr, role: &str, offset: u64| {
                let ip = || Reply::text(address.ip().to_string());
                let fields = [
                    ("id", Reply::text(id)),
                    ("port", Reply::Int(address.port().into())),
                    ("ip", ip()),
                    ("endpoint", ip()),
                    ("role", Reply::text(role)),
                    ("replication-offset", Reply::Int(i64::try_from(offset).unwrap_or(0))),
                    ("health", Reply::text("online")),
                ];
                Reply::Array(
                    fields.into_iter().flat_map(|(name, value)| [Reply::text(name), value]).collect(),
                )
            };
            let primary = described(&node.id, node.address, "master", node.offset);
            let replica = node.replica.as_ref();
            let replica = replica.map(|of| described(&of.id, of.address, "replica", of.offset));
            Reply::Array(vec![
                Reply::text("slots"),
                Reply::Array(ends.map(|end| Reply::Int(end.into())).collect()),
                Reply::text("nodes"),
                Reply::Array([primary].into_iter().chain(replica).collect()),
            ])
        };
        Reply::Array((0..self.nodes.len()).map(shard).collect())
    }

    /// The line of CLUSTER NODES about the node itself.
    fn own_line(&self, at: usize) -> String {
        let (node, id) = (&self.nodes[at], |at: usize| self.nodes[at].id.as_str());
        let mut words: Vec<String> =
            self.ranges(at).iter().map(|(first, last)| format!("{first}-{last}")).collect();
        for (slot, to) in &self.moving {
            let owner = self.owner_of_slot(*slot);
            if owner == at {
                words.push(format!("[{slot}->-{}]", id(*to)));
            } else if *to == at {
                words.push(format!("[{slot}-<-{}]", id(owner)));
            }
        }
        let (address, epoch) = (node.address, self.epoch);
        let bus = address.port() + 10_000;
        format!("{} {address}@{bus} myself,master - 0 0 {epoch} connected {}\n", node.id, words.join(" "))
    }
}
