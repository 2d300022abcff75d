//! The delete backend for servers that run scripts: one call of `guard.lua` per group, all calls in one write.

use redis::Value;

use super::ledger::{ledger_key, verdict};
use super::policy::GuardAction;
use super::{ExpectedContent, Guard, GuardCall, GuardReplies, GuardReply, Part};
use crate::conn::{Batch, Conn};
use crate::error::RedisError;
use crate::scripts;
use keysweep_model::messages::Lookups;

const SCRIPT: &str = include_str!("../guard.lua");

/// The guard script, loaded into one server.
#[derive(Clone)]
pub struct LuaGuard {
    /// The SHA-1 for EVALSHA.
    sha: Vec<u8>,
}

impl LuaGuard {
    /// Loads the script.
    pub(super) async fn load(conn: &Conn) -> Result<Self, RedisError> {
        Ok(Self { sha: scripts::load(conn, SCRIPT).await? })
    }
}

impl Guard for LuaGuard {
    async fn call(&self, conn: &Conn, call: GuardCall<'_>) -> Result<GuardReplies, RedisError> {
        let mut batch = Batch::new();
        for part in call.parts {
            add_call(&mut batch, &self.sha, &call, part);
        }
        // The script reads a ledger that another call has created.
        let ledger = Lookups::reads(u64::from(call.again), 0);
        let replies = conn.batch(batch).await?.into_iter().zip(call.parts);
        Ok(replies
            .map(|(mut reply, part)| {
                let mut extra_lookups = take_lookups(&mut reply);
                extra_lookups += ledger;
                let verdict = verdict(conn, &reply, part.group.keys.len())?;
                Ok(GuardReply { verdict, extra_lookups })
            })
            .collect())
    }

    fn writes_on_caller_conn(&self) -> bool {
        true
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
    let (hits, reads) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    Lookups { hits, misses: 0, reads }
}

fn add_call(
    batch: &mut Batch,
    script: &[u8],
    GuardCall { window, mode, .. }: &GuardCall<'_>,
    &Part { number, group, expected }: &Part<'_>,
) {
    let ledger = ledger_key(window.run, window.batch, number, group.slot);
    let count = (group.keys.len() + 1).to_string();
    let (mut word, more) = GuardAction::of(*mode, group).script_arguments(group.keys.len());
    if mode.asks_fields(group) {
        word.insert_str(0, "fields:");
    }
    if expected.is_some() {
        word.insert_str(0, "saved:");
    }
    let contents: Option<(Vec<u8>, Vec<Vec<u8>>)> =
        expected.map(|expected| expected.iter().map(ExpectedContent::argument).unzip());
    let (before, after) = (window.not_before_ms.to_string(), window.not_after_ms.to_string());
    let mut args: Vec<&[u8]> = vec![b"EVALSHA", script, count.as_bytes(), &ledger];
    args.extend(group.keys.iter().map(|key| key.as_bytes()));
    args.extend([word.as_bytes(), before.as_bytes(), after.as_bytes()]);
    args.extend(more.iter().map(String::as_bytes));
    if let Some((kinds, contents)) = &contents {
        args.push(kinds);
        args.extend(contents.iter().map(Vec::as_slice));
    }
    batch.add(&args);
}
