//! The commands that keysweep sends, as Redis 7.0 answers them.

use keysweep_model::glob::Pattern;
use keysweep_model::slot::{SLOTS, slot_of};
use keysweep_model::time::now_ms;

use super::deployment::{Deployment, EffectKind};
use super::keyspace::{KeyEntry, Value};
use super::resp::{Command, Reply};
use super::script;

/// What a server remembers of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The commands since MULTI.
    queued: Option<Vec<Command>>,
    watched: Vec<Watched>,
    asking: bool,
    in_script: bool,
}

/// A watched key.
#[derive(Debug)]
struct Watched {
    key: Vec<u8>,
    /// What it was; `None` if it was not there.
    before: Option<KeyEntry>,
}

impl Watched {
    /// Whether the key was written since; reading it changes nothing.
    fn is_changed(&self, now: Option<&KeyEntry>) -> bool {
        let written = |entry: &KeyEntry| (entry.version, entry.expires_ms);
        self.before.as_ref().map(written) != now.map(written)
    }
}

impl Session {
    /// That of a script.
    pub(crate) fn of_script() -> Self {
        Self { in_script: true, ..Self::default() }
    }
}

impl Deployment {
    /// Carries out a command at the node `at`.
    pub(crate) fn execute(&mut self, at: usize, session: &mut Session, command: &[Vec<u8>]) -> Reply {
        let Some(name) = command.first() else { return Reply::error("ERR empty command") };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        let args = &command[1..];
        if session.queued.is_some() && !["EXEC", "DISCARD", "WATCH", "MULTI"].contains(&name.as_str()) {
            session.queued.get_or_insert_default().push(command.to_vec());
            return Reply::Status("QUEUED");
        }
        if let Err(redirection) = self.route(at, session, &name, args) {
            return redirection;
        }
        if matches!(name.as_str(), "INFO" | "SCAN") {
            let clock = self.clock(at);
            self.nodes[at].keys.expire(clock);
        }
        match name.as_str() {
            "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH" => self.transaction(at, session, &name, args),
            "EVAL" | "EVAL_RO" | "EVALSHA" | "SCRIPT" => self.script(at, &name, args),
            "CLUSTER" => self.cluster(at, args),
            _ => self.plain(at, session, &name, args).unwrap_or_else(|| {
                Reply::error(format!("ERR unknown command '{name}', or one that is not simulated"))
            }),
        }
    }

    fn clock(&self, at: usize) -> u64 {
        self.nodes[at].clock_ms(now_ms())
    }

    /// Whether this node serves the keys of a command.
    fn route(&self, at: usize, session: &mut Session, name: &str, args: &[Vec<u8>]) -> Result<(), Reply> {
        let asking = std::mem::take(&mut session.asking);
        if !self.is_cluster {
            return Ok(());
        }
        for key in keys_of(name, args) {
            let slot = slot_of(key);
            let owner = self.owners[usize::from(slot)];
            let to = self.moving.get(&slot).copied();
            let has = self.nodes[at].keys.live(key, self.clock(at)).is_some();
            let refused = match (owner == at, to) {
                (true, None) => continue,
                (true, Some(to)) if has || session.in_script && name == "TIME" => {
                    let _ = to;
                    continue;
                }
                (true, Some(to)) => format!("ASK {slot} {}", self.nodes[to].address),
                (false, Some(to)) if to == at && asking => continue,
                (false, _) => format!("MOVED {slot} {}", self.nodes[owner].address),
            };
            return Err(Reply::error(if session.in_script {
                "ERR Script attempted to access a non local key in a cluster node".to_owned()
            } else {
                refused
            }));
        }
        Ok(())
    }

    fn transaction(&mut self, at: usize, session: &mut Session, name: &str, args: &[Vec<u8>]) -> Reply {
        let entry = |deployment: &Self, key: &[u8]| {
            deployment.nodes[at].keys.live(key, deployment.clock(at)).cloned()
        };
        match name {
            "MULTI" => session.queued = Some(Vec::new()),
            "WATCH" => {
                let watched = args.iter().map(|key| Watched { key: key.clone(), before: entry(self, key) });
                session.watched.extend(watched);
            }
            "UNWATCH" => session.watched.clear(),
            "DISCARD" => (session.queued, session.watched) = (None, Vec::new()),
            _ => {
                let Some(queued) = session.queued.take() else {
                    return Reply::error("ERR EXEC without MULTI");
                };
                let watched = std::mem::take(&mut session.watched);
                if watched.iter().any(|watched| watched.is_changed(entry(self, &watched.key).as_ref())) {
                    return Reply::Bulk(None);
                }
                return Reply::Array(
                    queued.iter().map(|command| self.execute(at, session, command)).collect(),
                );
            }
        }
        Reply::OK
    }

    fn script(&mut self, at: usize, name: &str, args: &[Vec<u8>]) -> Reply {
        if name == "SCRIPT" {
            let Some(text) = args.get(1) else { return Reply::OK };
            let (sha, text) = (script::sha1_hex(text), String::from_utf8_lossy(text).into_owned());
            self.nodes[at].scripts.insert(sha.clone(), text.into());
            return Reply::text(sha);
        }
        let (Some(what), Some(count)) = (args.first(), args.get(1).and_then(|count| number(count))) else {
            return Reply::error("ERR wrong number of arguments");
        };
        let text = match name {
            "EVALSHA" => self.nodes[at].scripts.get(&String::from_utf8_lossy(what).into_owned()).cloned(),
            _ => Some(String::from_utf8_lossy(what).into_owned().into()),
        };
        let Some(text) = text else { return Reply::error("NOSCRIPT No matching script. Please use EVAL.") };
        let (keys, args) = args[2..].split_at(usize::try_from(count).unwrap_or(0).min(args.len() - 2));
        let lua = self.lua.clone();
        script::run(&lua, self, at, &text, keys, args)
    }

    fn cluster(&self, at: usize, args: &[Vec<u8>]) -> Reply {
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

    /// The slots of a node, as ranges.
    fn ranges(&self, at: usize) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in (0..SLOTS).filter(|slot| self.owners[usize::from(*slot)] == at) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }

    fn shards(&self) -> Reply {
        let shard = |at: usize| {
            let node = &self.nodes[at];
            let ends = self.ranges(at).into_iter().flat_map(|(first, last)| [first, last]);
            let fields = [
                ("id", Reply::text(node.id.clone())),
                ("port", Reply::Int(node.address.port().into())),
                ("ip", Reply::text(node.address.ip().to_string())),
                ("endpoint", Reply::text(node.address.ip().to_string())),
                ("role", Reply::text("master")),
                ("replication-offset", Reply::Int(i64::try_from(node.offset).unwrap_or(0))),
                ("health", Reply::text("online")),
            ];
            let fields = fields.into_iter().flat_map(|(name, value)| [Reply::text(name), value]);
            Reply::Array(vec![
                Reply::text("slots"),
                Reply::Array(ends.map(|end| Reply::Int(end.into())).collect()),
                Reply::text("nodes"),
                Reply::Array(vec![Reply::Array(fields.collect())]),
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
            let owner = self.owners[usize::from(*slot)];
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

    /// Commands of one step.
    fn plain(&mut self, at: usize, session: &mut Session, name: &str, args: &[Vec<u8>]) -> Option<Reply> {
        let clock = self.clock(at);
        Some(match name {
            "PING" => Reply::Status("PONG"),
            "CLIENT" | "AUTH" | "SELECT" | "READONLY" | "ACL" => Reply::OK,
            "ASKING" => {
                session.asking = true;
                Reply::OK
            }
            "INFO" => Reply::text(self.nodes[at].info(self.is_cluster, now_ms())),
            "TIME" => {
                let parts = [clock / 1_000, clock % 1_000 * 1_000];
                Reply::Array(parts.map(|part| Reply::text(part.to_string())).to_vec())
            }
            "SCAN" => self.scan(at, args),
            "WAIT" => {
                self.replicate(at);
                Reply::Int(i64::from(self.nodes[at].replica.is_some()))
            }
            "PTTL" | "PEXPIRETIME" | "TYPE" | "OBJECT" | "MEMORY" | "GET" | "DUMP" | "EXISTS" => {
                self.read(at, name, args, clock)
            }
            "SET" => self.set(at, args, clock),
            "UNLINK" | "DEL" | "PEXPIRE" => self.change(at, name, args, clock)?,
            _ => return None,
        })
    }

    fn scan(&self, at: usize, args: &[Vec<u8>]) -> Reply {
        let cursor = args.first().and_then(|cursor| number(cursor)).unwrap_or(0);
        let option = |name: &[u8]| {
            let at = args.iter().position(|word| word.eq_ignore_ascii_case(name))?;
            args.get(at + 1)
        };
        let count = option(b"COUNT").and_then(|count| number(count)).unwrap_or(10);
        let pattern = option(b"MATCH").and_then(|text| Pattern::new(text.clone()).ok());
        let (next, keys) =
            self.nodes[at].keys.scan(cursor.unsigned_abs(), usize::try_from(count).unwrap_or(10));
        let keys = keys.into_iter().filter(|key| pattern.as_ref().is_none_or(|pattern| pattern.matches(key)));
        Reply::Array(vec![Reply::text(next.to_string()), Reply::Array(keys.map(Reply::text).collect())])
    }

    fn read(&mut self, at: usize, name: &str, args: &[Vec<u8>], clock: u64) -> Reply {
        let has_subcommand = matches!(name, "OBJECT" | "MEMORY");
        let Some(key) = args.get(usize::from(has_subcommand)) else {
            return Reply::error("ERR wrong number of arguments");
        };
        let node = &mut self.nodes[at];
        let Some(entry) = node.keys.live_mut(key, clock) else {
            node.misses += u64::from(name != "MEMORY");
            return match name {
                "PTTL" | "PEXPIRETIME" => Reply::Int(-2),
                "TYPE" => Reply::Status("none"),
                "EXISTS" => Reply::Int(0),
                _ => Reply::Bulk(None),
            };
        };
        node.hits += u64::from(name != "MEMORY");
        let int = |number: u64| Reply::Int(i64::try_from(number).unwrap_or(i64::MAX));
        match (name, &entry.value) {
            ("PTTL", _) => entry.expires_ms.map_or(Reply::Int(-1), |at| int(at - clock)),
            ("PEXPIRETIME", _) => entry.expires_ms.map_or(Reply::Int(-1), int),
            ("TYPE", value) => Reply::Status(value.type_name()),
            ("OBJECT", _) => int(clock.saturating_sub(entry.used_ms) / 1_000),
            ("MEMORY", _) => Reply::Int(72),
            ("EXISTS", _) => Reply::Int(1),
            ("GET", Value::Text(text)) => {
                entry.used_ms = clock;
                Reply::text(text.clone())
            }
            ("DUMP", value) => Reply::text(format!("{value:?}")),
            _ => Reply::error("WRONGTYPE Operation against a key holding the wrong kind of value"),
        }
    }

    fn set(&mut self, at: usize, args: &[Vec<u8>], clock: u64) -> Reply {
        let [key, value, options @ ..] = args else { return Reply::error("ERR wrong number of arguments") };
        let before = self.nodes[at].keys.live(key, clock).cloned();
        let (mut expires_ms, mut words) = (None, options.iter());
        while let Some(word) = words.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" if before.is_some() => return Reply::Bulk(None),
                b"XX" if before.is_none() => return Reply::Bulk(None),
                b"PX" => {
                    expires_ms = words.next().and_then(|ms| number(ms)).map(|ms| clock + ms.unsigned_abs())
                }
                b"PXAT" => expires_ms = words.next().and_then(|ms| number(ms)).map(i64::unsigned_abs),
                b"KEEPTTL" => expires_ms = before.as_ref().and_then(|entry| entry.expires_ms),
                _ => {}
            }
        }
        let entry = KeyEntry {
            value: Value::Text(value.clone()),
            expires_ms,
            used_ms: clock,
            version: self.next_version(),
        };
        self.nodes[at].keys.insert(key.clone(), entry);
        self.nodes[at].offset += 100;
        Reply::OK
    }

    /// `None` if a word is missing.
    fn change(&mut self, at: usize, name: &str, args: &[Vec<u8>], clock: u64) -> Option<Reply> {
        let (mut changed, ttl) = (0, args.get(1).and_then(|ms| number(ms)));
        let keys = if name == "PEXPIRE" { args.get(..1)? } else { args };
        for key in keys {
            let Some(before) = self.nodes[at].keys.live(key, clock).cloned() else { continue };
            let kind = match name {
                "PEXPIRE" => {
                    let expires_ms = clock + ttl?.unsigned_abs();
                    self.nodes[at].keys.live_mut(key, clock)?.expires_ms = Some(expires_ms);
                    EffectKind::Expires(expires_ms)
                }
                _ => {
                    self.nodes[at].keys.remove(key);
                    EffectKind::Removed
                }
            };
            changed += 1;
            self.nodes[at].offset += 50;
            self.record(at, key, before, kind, clock);
        }
        Some(Reply::Int(changed))
    }
}

/// The keys of a command.
fn keys_of<'a>(name: &str, args: &'a [Vec<u8>]) -> &'a [Vec<u8>] {
    let part = match name {
        "PTTL" | "PEXPIRETIME" | "TYPE" | "GET" | "SET" | "DUMP" | "PEXPIRE" => 0..1,
        "OBJECT" | "MEMORY" => 1..2,
        "UNLINK" | "DEL" | "EXISTS" | "WATCH" => 0..args.len(),
        "EVAL" | "EVALSHA" | "EVAL_RO" => {
            let count =
                args.get(1).and_then(|count| number(count)).and_then(|count| usize::try_from(count).ok());
            2..count.unwrap_or(0).saturating_add(2)
        }
        _ => return &[],
    };
    args.get(part).unwrap_or_default()
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
