//! `keysweep runs audit`: the keys that a run handled, or all runs, one JSON document per line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coordinator::exit;
use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::Reason;
use keysweep_model::outcome::Outcome;
use keysweep_model::printable;
use keysweep_model::time::rfc3339;
use keysweep_runtime::context::Context;
use keysweep_storage::audit::{self, AuditEntry, KeptEntry};
use reporter::grouped;
use scanner::limits::KEPT_NAMES_BYTES_MAX;
use serde_json::{Value, json};

use super::args::AuditArgs;
use super::error::CommandError;
use super::events::oldest;
use super::run::print;

/// The keys to print.
struct Wanted<'a> {
    run: Option<RunId>,
    prefix: &'a [u8],
    since_ms: u64,
    /// Also those that were not changed.
    all: bool,
}

/// Prints the keys that the flags select, in the order in which they were handled.
///
/// # Errors
/// When there is no such run, or the audit trail cannot be read.
pub(super) async fn audit(context: &Context, args: &AuditArgs) -> Result<u8, CommandError> {
    let run = match &args.run {
        Some(run) => Some(run.find(context).await?),
        None => None,
    };
    let since = args.since.as_deref().map(oldest).transpose()?;
    let wanted = Wanted {
        run,
        prefix: args.prefix.as_deref().unwrap_or_default().as_bytes(),
        since_ms: since.map_or(0, |since| since.as_millisecond().unsigned_abs()),
        all: args.all,
    };
    let (mut revision, mut known, mut doubtful) = (0, run.is_none(), 0_u64);
    while let Some(audit) = &context.audit
        && let Some(next) = audit.next(run, revision).await?
    {
        (revision, known) = (next.revision, true);
        let (text, unconfirmed) = wanted.lines(next.run, &next.entry);
        doubtful += unconfirmed;
        if !print(&text)? {
            return Ok(exit::DONE);
        }
    }
    if args.all {
        known |= wanted.print_kept(context).await?;
    } else if doubtful > 0 {
        tracing::warn!(
            "{} more keys may have been deleted, which nothing confirms: `--all` names them as unconfirmed",
            grouped(doubtful)
        );
    }
    match run {
        Some(run) if !known && context.records(run).spec().await?.is_none() => Err(CommandError::NoRun(run)),
        _ => Ok(exit::DONE),
    }
}

impl Wanted<'_> {
    fn takes(&self, key: &Key) -> bool {
        key.as_bytes().starts_with(self.prefix)
    }

    /// The lines of an entry, and how many of its keys are unconfirmed and not among them.
    fn lines(&self, run: RunId, entry: &AuditEntry) -> (String, u64) {
        let (mut text, mut unconfirmed) = (String::new(), 0);
        if entry.at_ms < self.since_ms {
            return (text, 0);
        }
        for group in &entry.groups {
            let shared =
                Shared { run, reason: group.reason, rule: entry.rule, node: &entry.node, slot: group.slot };
            let shared = shared.document(entry.at_ms);
            for (key, outcome) in group.keys.iter().filter(|(key, _)| self.takes(key)) {
                if self.all || outcome.is_changed() {
                    text.push_str(&line(key, &shared, outcome.into()));
                } else if *outcome == Outcome::Unconfirmed {
                    unconfirmed += 1;
                }
            }
        }
        (text, unconfirmed)
    }

    /// Prints the candidates that were kept; returns whether there are entries of them.
    async fn print_kept(&self, context: &Context) -> Result<bool, CommandError> {
        let (mut revision, mut known, mut unnamed) = (0, false, 0_u64);
        while let Some(next) = audit::next_kept(&*context.history_store, self.run, revision).await? {
            (revision, known) = (next.revision, true);
            if next.entry.at_ms >= self.since_ms {
                unnamed = unnamed.saturating_add(next.entry.unnamed);
                print(&self.kept_lines(next.run, &next.entry))?;
            }
        }
        if unnamed > 0 {
            tracing::warn!(
                "{} more keys that are protected or only reported are in no audit entry: a scan task lists up to {} KiB of them",
                grouped(unnamed),
                KEPT_NAMES_BYTES_MAX >> 10
            );
        }
        Ok(known)
    }

    fn kept_lines(&self, run: RunId, entry: &KeptEntry) -> String {
        let mut text = String::new();
        for group in &entry.groups {
            let shared =
                Shared { run, reason: group.reason, rule: group.rule, node: &entry.node, slot: group.slot };
            let shared = shared.document(entry.at_ms);
            let keys = group.keys.iter().filter(|key| self.takes(key));
            keys.for_each(|key| text.push_str(&line(key, &shared, group.why.as_str())));
        }
        text
    }
}

/// What the keys of a group have in common: their run, why and where they were candidates.
struct Shared<'a> {
    run: RunId,
    reason: Reason,
    rule: Option<u16>,
    node: &'a NodeId,
    slot: u16,
}

impl Shared<'_> {
    fn document(&self, at_ms: u64) -> Value {
        let Self { run, reason, rule, node, slot } = self;
        let reason: &str = (*reason).into();
        let mut document =
            json!({ "runId": run, "reason": reason, "node": node, "slot": slot, "time": rfc3339(at_ms) });
        if let Some(rule) = rule {
            // From 1, as messages and results count rules.
            document["rule"] = (u32::from(*rule) + 1).into();
        }
        document
    }
}

/// The line of a key, with what it shares with its group.
fn line(key: &Key, shared: &Value, outcome: &str) -> String {
    // As `keyBase64` if it is not UTF-8, so that it is exact in both cases.
    let (name, value) = match str::from_utf8(key.as_bytes()) {
        Ok(text) => ("key", text.to_owned()),
        Err(_) => ("keyBase64", STANDARD.encode(key.as_bytes())),
    };
    let mut line = shared.clone();
    (line["outcome"], line[name]) = (outcome.into(), value.into());
    printable::json(&line.to_string()) + "\n"
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::BatchId;
    use keysweep_storage::audit::AuditGroup;

    use super::*;

    const EVERY: Wanted<'static> = Wanted { run: None, prefix: b"", since_ms: 0, all: true };

    fn check(wanted: &Wanted<'_>, expected: &[&str], unconfirmed: u64) {
        let keys = vec![
            (Key::new(*b"permissions:1"), Outcome::Deleted),
            (Key::new(*b"\xff\x00"), Outcome::Expired),
            (Key::new(*b"permissions:2"), Outcome::Spared),
            (Key::new(*b"permissions:3"), Outcome::Unconfirmed),
        ];
        let groups = vec![AuditGroup { slot: 7, reason: Reason::Stale, keys }];
        let (batch, node, rule) = (BatchId::new(), NodeId::new("n"), Some(4));
        let entry = AuditEntry { batch, node, at_ms: 1_000, groups, rule };
        let run = RunId::new();
        let (text, doubtful) = wanted.lines(run, &entry);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let common = json!({
            "runId": run, "reason": "stale", "node": "n", "slot": 7, "time": "1970-01-01T00:00:01Z", "rule": 5,
        });
        let names = lines.iter().map(|line| {
            assert!(common.as_object().unwrap().iter().all(|(name, value)| line[name] == *value), "{line}");
            let name = line["key"].as_str().or(line["keyBase64"].as_str()).unwrap();
            format!("{name} {}", line["outcome"].as_str().unwrap())
        });
        assert_eq!(
            (names.collect::<Vec<_>>(), doubtful),
            (expected.iter().map(ToString::to_string).collect(), unconfirmed)
        );
    }

    #[test]
    fn an_audit_line_has_the_exact_key_for_any_bytes() {
        check(&Wanted { all: false, ..EVERY }, &["permissions:1 deleted", "/wA= expired"], 1);
        let all =
            ["permissions:1 deleted", "/wA= expired", "permissions:2 spared", "permissions:3 unconfirmed"];
        check(&EVERY, &all, 0);
    }

    #[test]
    fn prefix_and_time_select_keys() {
        check(&Wanted { prefix: b"permissions:2", ..EVERY }, &["permissions:2 spared"], 0);
        check(&Wanted { prefix: b"permissions:3", all: false, ..EVERY }, &[], 1);
        check(&Wanted { prefix: b"other", ..EVERY }, &[], 0);
        check(&Wanted { since_ms: 1_001, ..EVERY }, &[], 0);
        check(&Wanted { since_ms: 1_000, prefix: b"permissions:1", ..EVERY }, &["permissions:1 deleted"], 0);
    }
}
