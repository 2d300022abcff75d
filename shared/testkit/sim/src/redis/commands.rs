//! The commands that keysweep sends, as Redis 7.0 answers them.

use keysweep_model::glob::Pattern;
use keysweep_model::slot::slot_of;
use keysweep_model::time::now_ms;

use super::deployment::{Deployment, EffectKind, Step};
use super::keyspace::{KeyEntry, Value};
use super::resp::Reply;
use super::transaction::Session;

impl Deployment {
    /// Carries out a command at the node `at`, as one step.
    pub(crate) fn execute(&mut self, at: usize, session: &mut Session, command: &[Vec<u8>]) -> Reply {
        let wobble = i64::try_from(self.wobble_ms).unwrap_or_default();
        let off = if wobble > 0 { fastrand::i64(-wobble..=wobble) } else { 0 };
        let clock_ms = self.nodes[at].clock_ms(now_ms()).saturating_add_signed(off);
        self.step = Step { clock_ms, ..Step::default() };
        if !session.at_replica {
            return self.carry_out(at, session, command);
        }
        let name = command.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        match name.as_slice() {
            b"SET" | b"UNLINK" | b"DEL" | b"PEXPIRE" | b"EVAL" | b"EVALSHA" => {
                Reply::error("READONLY You can't write against a read only replica.")
            }
            b"INFO" => {
                self.maybe_replicate(at);
                Reply::text(self.nodes[at].info_of_replica(self.is_cluster, clock_ms))
            }
            _ => {
                self.nodes[at].swap_with_replica();
                let reply = self.carry_out(at, session, command);
                self.nodes[at].swap_with_replica();
                reply
            }
        }
    }

    /// A replica catches up whenever it can, which may be later.
    fn maybe_replicate(&mut self, at: usize) {
        if fastrand::bool() {
            self.replicate(at);
        }
    }

    /// Carries out a command within a step.
    pub(super) fn carry_out(&mut self, at: usize, session: &mut Session, command: &[Vec<u8>]) -> Reply {
        let Some(name) = command.first() else { return Reply::error("ERR empty command") };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        let args = &command[1..];
        let is_queued =
            session.queued.is_some() && !matches!(name.as_str(), "EXEC" | "DISCARD" | "WATCH" | "MULTI");
        let refused = self.route(at, session, &name, args).err().or_else(|| self.refused_write(at, &name));
        if let Some(refusal) = refused {
            session.is_dirty |= is_queued;
            return refusal;
        }
        if is_queued {
            session.queued.get_or_insert_default().push(command.to_vec());
            return Reply::Status("QUEUED");
        }
        *self.nodes[at].calls.entry(counted_as(&name, args)).or_default() += 1;
        if matches!(name.as_str(), "INFO" | "SCAN") {
            let clock = self.clock();
            self.nodes[at].keys.expire(clock);
        }
        match name.as_str() {
            "MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH" => self.transaction(at, session, &name, args),
            "EVAL" | "EVAL_RO" | "EVALSHA" | "SCRIPT" if !self.runs_scripts => {
                Reply::error(format!("NOPERM this user has no permissions to run the '{name}' command"))
            }
            "EVAL" | "EVAL_RO" | "EVALSHA" | "SCRIPT" => self.script(at, &name, args),
            "ACL" => self.acl(args),
            "CLUSTER" => self.cluster(at, args),
            _ => self.plain(at, session, &name, args).unwrap_or_else(|| {
                Reply::error(format!("ERR unknown command '{name}', or one that is not simulated"))
            }),
        }
    }

    /// The refusal of a command that may write, at a server that cannot save.
    fn refused_write(&self, at: usize, name: &str) -> Option<Reply> {
        let writes = matches!(name, "SET" | "UNLINK" | "DEL" | "PEXPIRE" | "EVAL" | "EVALSHA");
        let text = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.";
        (writes && self.nodes[at].refuses_writes).then(|| Reply::error(text))
    }

    /// The time of the step, which stands still in a script.
    pub(super) fn clock(&self) -> u64 {
        self.step.clock_ms
    }

    /// Whether this node serves the keys of a command.
    pub(super) fn route(
        &mut self,
        at: usize,
        session: &mut Session,
        name: &str,
        args: &[Vec<u8>],
    ) -> Result<(), Reply> {
        let asking = std::mem::take(&mut session.asking);
        if !self.is_cluster {
            return Ok(());
        }
        for key in keys_of(name, args) {
            let slot = slot_of(key);
            let is_other = *self.step.slot.get_or_insert(slot) != slot;
            if is_other && !session.in_script {
                return Err(Reply::error("CROSSSLOT Keys in request don't hash to the same slot"));
            }
            if is_other && !self.crosses_slots {
                let text = "ERR Script attempted to access keys that do not hash to the same slot";
                return Err(Reply::error(text));
            }
        }
        for key in keys_of(name, args) {
            let slot = slot_of(key);
            let owner = self.owner_of_slot(slot);
            let to = self.moving.get(&slot).copied();
            let has = self.nodes[at].keys.live(key, self.clock()).is_some();
            let refused = match (owner == at, to) {
                (true, None) => continue,
                (true, Some(_)) if has => continue,
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

    /// Commands of one step.
    fn plain(&mut self, at: usize, session: &mut Session, name: &str, args: &[Vec<u8>]) -> Option<Reply> {
        let clock = self.clock();
        Some(match name {
            "PING" => Reply::Status("PONG"),
            "CLIENT" | "AUTH" | "SELECT" | "READONLY" => Reply::OK,
            "ASKING" => {
                session.asking = true;
                Reply::OK
            }
            "INFO" => {
                self.maybe_replicate(at);
                let all = args.first().is_some_and(|section| section.eq_ignore_ascii_case(b"all"));
                let stats = if all { self.nodes[at].command_stats() } else { String::new() };
                Reply::text(self.nodes[at].info(self.is_cluster, now_ms()) + &stats)
            }
            "TIME" => {
                let parts = [clock / 1_000, clock % 1_000 * 1_000];
                Reply::Array(parts.map(|part| Reply::text(part.to_string())).to_vec())
            }
            "SCAN" => self.scan(at, args),
            "WAIT" => Reply::Int(i64::from(self.replicate(at))),
            "PTTL" | "PEXPIRETIME" | "TYPE" | "OBJECT" | "MEMORY" | "GET" | "GETRANGE" | "DUMP"
            | "EXISTS" => self.read(at, name, args, clock),
            "SET" => self.set(at, args, clock),
            "UNLINK" | "DEL" | "PEXPIRE" => self.change(at, name, args, clock)?,
            _ => return None,
        })
    }

    fn scan(&self, at: usize, args: &[Vec<u8>]) -> Reply {
        let cursor = args.first().and_then(|cursor| str::from_utf8(cursor).ok()?.parse().ok()).unwrap_or(0);
        let option = |name: &[u8]| {
            let at = args.iter().position(|word| word.eq_ignore_ascii_case(name))?;
            args.get(at + 1)
        };
        let count = option(b"COUNT").and_then(|count| number(count)).unwrap_or(10);
        let pattern = option(b"MATCH").and_then(|text| Pattern::new(text.clone()).ok());
        let (next, keys) = self.nodes[at].keys.scan(cursor, usize::try_from(count).unwrap_or(10));
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
                "GETRANGE" => Reply::text(""),
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
            ("GETRANGE", Value::Text(text)) => {
                let number = |at: usize| {
                    let number = args.get(at).and_then(|text| number(text)).unwrap_or(0);
                    usize::try_from(number).unwrap_or(0)
                };
                let to = number(2).saturating_add(1).min(text.len());
                entry.used_ms = clock;
                Reply::text(text.get(number(1)..to).unwrap_or_default())
            }
            ("DUMP", value) => Reply::text(value.dumped()),
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

/// The name of a command in the command statistics.
fn counted_as(name: &str, args: &[Vec<u8>]) -> String {
    let has_subcommands = matches!(name, "OBJECT" | "MEMORY" | "CLUSTER" | "SCRIPT" | "CLIENT" | "ACL");
    let subcommand = args.first().filter(|_| has_subcommands);
    let full = subcommand.map_or(name.to_owned(), |word| format!("{name}|{}", String::from_utf8_lossy(word)));
    full.to_ascii_lowercase()
}

/// The keys of a command.
fn keys_of<'a>(name: &str, args: &'a [Vec<u8>]) -> &'a [Vec<u8>] {
    let part = match name {
        "PTTL" | "PEXPIRETIME" | "TYPE" | "GET" | "GETRANGE" | "SET" | "DUMP" | "PEXPIRE" => 0..1,
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

/// A number as commands write it.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
