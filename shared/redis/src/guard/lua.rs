//! The delete backend for servers that run scripts: one call of `guard.lua` per part, all calls in one write.

use redis::Value;

use super::condition::ConditionProgram;
use super::ledger::verdict;
use super::policy::GuardAction;
use super::{ExpectedContent, Guard, GuardCall, GuardReplies, GuardReply, Part};
use crate::conn::{Batch, Conn};
use crate::error::RedisError;
use crate::scripts::{self, LoadedScript};
use keysweep_model::ledger::LedgerKind;
use keysweep_model::messages::Lookups;
use keysweep_model::slot::tag_for;

const SCRIPT: &str = include_str!("../guard.lua");

/// Writes two keys that do not exist, without an effect, as node ledgers require: neither is declared.
const PROBE: &str = "#!lua flags=allow-oom,allow-cross-slot-keys
for _, key in ipairs(ARGV) do
  if redis.pcall('SET', key, '', 'XX') then return 0 end
end
return 1";

/// The guard script, loaded into one server.
#[derive(Clone)]
pub struct LuaGuard {
    /// The SHA-1 for EVALSHA.
    sha: Vec<u8>,
    crosses_slots: bool,
}

impl LuaGuard {
    /// Loads the script, and tries whether a script may use keys of the two `slots` in one call: some servers and
    /// proxies refuse it, whatever their version.
    pub(super) async fn load(conn: &Conn, slots: [u16; 2]) -> Result<Self, RedisError> {
        let LoadedScript { sha, crosses_slots } = scripts::load(conn, SCRIPT).await?;
        let crosses_slots = crosses_slots && may_cross_slots(conn, slots).await?;
        Ok(Self { sha, crosses_slots })
    }
}

async fn may_cross_slots(conn: &Conn, slots: [u16; 2]) -> Result<bool, RedisError> {
    let [one, other] = slots.map(|slot| format!("keysweep:ledger:{{{}}}:probe", tag_for(slot)).into_bytes());
    match conn.command(&[b"EVAL", PROBE.as_bytes(), b"0", &one, &other]).await {
        Ok(reply) => Ok(reply == Value::Int(1)),
        Err(fault) if fault.kind.is_transient() => Err(fault),
        Err(_) => Ok(false),
    }
}

impl Guard for LuaGuard {
    async fn call(&self, conn: &Conn, call: GuardCall<'_>) -> Result<GuardReplies, RedisError> {
        let mut batch = Batch::new();
        for part in call.parts {
            add_call(&mut batch, &self.sha, &call, part);
        }
        let replies = conn.batch(batch).await?.into_iter().zip(call.parts);
        Ok(replies
            .map(|(mut reply, part)| {
                let extra_lookups = take_lookups(&mut reply);
                let verdict = verdict(conn, &reply, part.candidates.len())?;
                Ok(GuardReply { verdict, extra_lookups })
            })
            .collect())
    }

    fn writes_on_caller_conn(&self) -> bool {
        true
    }

    fn crosses_slots(&self) -> bool {
        self.crosses_slots
    }
}

/// Splits the lookup counts off the script's reply, if it contains them: they follow a space, which is not a letter.
fn take_lookups(reply: &mut Value) -> Lookups {
    let Value::BulkString(answer) = reply else { return Lookups::default() };
    let Some(blank) = answer.iter().position(|byte| *byte == b' ').filter(|_| answer[0] != b'!') else {
        return Lookups::default();
    };
    let text = String::from_utf8_lossy(&answer[blank + 1..]).into_owned();
    answer.truncate(blank);
    let mut numbers = text.split(' ').map(|digits| digits.parse().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let (hits, reads, misses) = (next(), next(), next());
    Lookups { hits, misses, reads }
}

/// Adds the script call for `part`: its arguments are explained in `guard.lua`.
fn add_call(batch: &mut Batch, script: &[u8], call: &GuardCall<'_>, part: &Part<'_>) {
    let by_node = part.ledger.kind == LedgerKind::Node;
    let keys =
        || part.candidates.iter().filter(|_| part.mode.acts()).map(|candidate| candidate.key.as_bytes());
    let action = GuardAction::of(part);
    let condition = part.condition().filter(|_| action.acts());
    let condition = condition.map(|condition| ConditionProgram::of(condition, &part.candidates));
    let options = [
        ('n', by_node),
        ('u', part.doubtful),
        ('f', part.asks_fields()),
        ('s', part.compares()),
        ('w', condition.is_some()),
    ];
    let options: String =
        options.into_iter().filter_map(|(letter, applies)| applies.then_some(letter)).collect();
    let (mode, more) = action.script_arguments(part);
    let numbers = [
        call.window.not_before_ms,
        call.window.not_after_ms,
        part.recorded as u64,
        part.before as u64,
        part.candidates.len() as u64,
    ]
    .map(|number| number.to_string());
    let contents: (Vec<u8>, Vec<Vec<u8>>) = if part.compares() {
        part.candidates.iter().filter_map(|of| of.expected.as_ref()).map(ExpectedContent::argument).unzip()
    } else {
        Default::default()
    };
    let ledger = part.ledger.key(call.window.run);
    let declared = (1 + if by_node { 0 } else { keys().count() }).to_string();
    let mut args: Vec<&[u8]> = Vec::with_capacity(12 + 3 * part.candidates.len());
    args.extend([b"EVALSHA", script, declared.as_bytes(), &ledger]);
    if !by_node {
        args.extend(keys());
    }
    args.extend([mode.as_bytes(), options.as_bytes()]);
    args.extend(numbers.iter().map(String::as_bytes));
    if let Some(ConditionProgram { words, matches }) = &condition {
        args.extend([words.as_bytes(), matches]);
    }
    if by_node {
        args.extend(keys());
    }
    args.extend(more.iter().map(String::as_bytes));
    if part.compares() {
        args.push(&contents.0);
        args.extend(contents.1.iter().map(Vec::as_slice));
    }
    batch.add(&args);
}
