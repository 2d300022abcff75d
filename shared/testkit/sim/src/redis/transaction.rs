//! What a server remembers of a connection, transactions, and scripts.

use keysweep_model::slot::slot_of;

use super::commands::number;
use super::deployment::{Deployment, LedgerOf};
use super::keyspace::KeyEntry;
use super::resp::{Command, Reply};
use super::script;

/// What a server remembers of a connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Whether it is one to the replica of the node.
    pub(crate) at_replica: bool,
    /// The commands since MULTI.
    pub(super) queued: Option<Vec<Command>>,
    /// Whether one of them was refused.
    pub(super) is_dirty: bool,
    watched: Vec<Watched>,
    pub(super) asking: bool,
    pub(super) in_script: bool,
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
    pub(super) fn transaction(
        &mut self,
        at: usize,
        session: &mut Session,
        name: &str,
        args: &[Vec<u8>],
    ) -> Reply {
        let entry =
            |deployment: &Self, key: &[u8]| deployment.nodes[at].keys.live(key, deployment.clock()).cloned();
        match name {
            "MULTI" => (session.queued, session.is_dirty) = (Some(Vec::new()), false),
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
                if std::mem::take(&mut session.is_dirty) {
                    return Reply::error("EXECABORT Transaction discarded because of previous errors.");
                }
                for command in &queued {
                    let name = String::from_utf8_lossy(&command[0]).to_ascii_uppercase();
                    if let Err(refusal) = self.route(at, session, &name, &command[1..]) {
                        return refusal;
                    }
                }
                if watched.iter().any(|watched| watched.is_changed(entry(self, &watched.key).as_ref())) {
                    return Reply::Bulk(None);
                }
                self.step.ledger = queued.iter().flatten().find_map(|word| LedgerOf::named(word));
                let done = queued.iter().map(|command| self.carry_out(at, session, command));
                return Reply::Array(done.collect());
            }
        }
        Reply::OK
    }

    pub(super) fn script(&mut self, at: usize, name: &str, args: &[Vec<u8>]) -> Reply {
        if name == "SCRIPT" {
            let Some(text) = args.get(1) else {
                self.nodes[at].scripts.clear();
                return Reply::OK;
            };
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
        self.step.ledger = keys.first().and_then(|key| LedgerOf::named(key));
        self.step.slot = keys.first().map(|key| slot_of(key));
        let lua = self.lua.clone();
        script::run(&lua, self, at, &text, keys, args)
    }
}
