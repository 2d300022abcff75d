//! Which write permissions the user has, and which delete backend they allow. This runs before the plan is confirmed:
//! it sends no write command, and no script that could write. A read-only script (`EVAL_RO`, from Redis 7.0 on) asks
//! the server which commands the user may run. On servers that run no scripts, `ACL DRYRUN` does the same.

use keysweep_model::messages::DeleteBackend;
use redis::Value;

use super::capabilities::{self, Capabilities};
use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::preflight::{MissingPermission, PermissionProbe, RequiredPermissions, found, unknown, writing};

const SCRIPT: &str = include_str!("rights.lua");

/// What is known about the permissions to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionCheck {
    /// The capabilities of the server, or the missing permissions.
    Known(Result<Capabilities, Vec<MissingPermission>>),
    /// The server cannot report permissions; the reason.
    Unknown(String),
}

/// The server's answer about one command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PermissionAnswer {
    Allowed,
    /// The user may not run it; the server's error text, if any.
    Forbidden(Option<String>),
    /// The server does not have the command.
    Absent(String),
}

/// Checks the write permissions for `needs` at the server behind `conn`.
///
/// # Errors
/// When the server fails.
pub async fn ask(conn: &Conn, needs: &RequiredPermissions<'_>) -> Result<PermissionCheck, RedisError> {
    let [writes, scripts, transactions] =
        [writing(needs), capabilities::scripts(), capabilities::transactions()];
    let counts = (writes.len(), scripts.len());
    let questions: Vec<PermissionProbe> = writes.into_iter().chain(scripts).chain(transactions).collect();
    let (answers, no_scripts) = match by_script(conn, &questions).await? {
        Ok(answers) => (answers, None),
        Err(refusal) => match by_dry_run(conn, &questions).await? {
            // A server that rejects a script for another reason than permissions runs none.
            Ok(answers) => (answers, (!is_absent(&refusal)).then_some(refusal.detail)),
            Err(other) => {
                let why = format!("`EVAL_RO`: {}; `ACL DRYRUN`: {}", refusal.detail, other.detail);
                return Ok(PermissionCheck::Unknown(why));
            }
        },
    };
    if answers.len() != questions.len() {
        return Err(RedisError::unexpected(conn.address(), "EVAL_RO"));
    }
    Ok(PermissionCheck::Known(classify_answer(
        questions.into_iter().zip(answers).collect(),
        counts,
        no_scripts,
    )))
}

/// Whether `refusal` only means that the command does not exist or the user may not run it.
fn is_absent(refusal: &RedisError) -> bool {
    refusal.kind == RedisErrorKind::PermissionDenied || refusal.is_unknown_command()
}

/// Classifies `answers`: first those about writes, then those about scripts, as many as `counts` gives, and the rest
/// about transactions. `no_scripts` is the server's error text if it runs no scripts.
fn classify_answer(
    mut answers: Vec<(PermissionProbe, PermissionAnswer)>,
    counts: (usize, usize),
    no_scripts: Option<String>,
) -> Result<Capabilities, Vec<MissingPermission>> {
    let transactions = answers.split_off(counts.0 + counts.1);
    let scripts = answers.split_off(counts.0);
    let refused = |(question, answer): &(PermissionProbe, PermissionAnswer)| {
        (!question.about_keys && *answer != PermissionAnswer::Allowed).then(|| question.command())
    };
    let commands: Vec<String> = answers.iter().filter_map(refused).collect();
    let lacks = |(question, answer)| lacking(question, answer, &commands);
    let mut missing: Vec<MissingPermission> = answers.into_iter().filter_map(lacks).collect();
    missing.dedup_by(|a, b| a.rule == b.rule && a.command == b.command);
    let lacking_scripts: Vec<MissingPermission> =
        scripts.into_iter().filter_map(|it| lacking(it.0, it.1, &[])).collect();
    let refusal = no_scripts.or_else(|| lacking_scripts.first().map(|first| first.detail.clone()));
    let capabilities = match refusal {
        None => Some(Capabilities { delete_backend: DeleteBackend::Lua, refusal: None }),
        Some(_) if transactions.iter().all(|(_, answer)| *answer == PermissionAnswer::Allowed) => {
            Some(Capabilities { delete_backend: DeleteBackend::Watch, refusal })
        }
        Some(_) => {
            missing.extend(lacking_scripts);
            None
        }
    };
    capabilities.filter(|_| missing.is_empty()).ok_or(missing)
}

/// The missing permission for this answer; `commands` are those that the user may not run on any key.
fn lacking(
    question: PermissionProbe,
    answer: PermissionAnswer,
    commands: &[String],
) -> Option<MissingPermission> {
    let command = question.command();
    match answer {
        PermissionAnswer::Allowed => None,
        PermissionAnswer::Absent(detail) => Some(unknown(&question, detail)),
        PermissionAnswer::Forbidden(Some(words)) => found(question, words),
        // A script gets no reason. A command that is denied for all keys has a probe of its own.
        PermissionAnswer::Forbidden(None) if question.about_keys && commands.contains(&command) => None,
        PermissionAnswer::Forbidden(None) => {
            let what = if question.about_keys {
                format!("`{command}` on keys of `{}`", &question.rule[1..])
            } else {
                format!("`{command}`")
            };
            let detail = format!("no permissions to run {what}");
            Some(MissingPermission { command, rule: Some(question.rule), detail })
        }
    }
}

/// The outer error: the server failed. The inner one: the server does not allow the query.
type Answers = Result<Result<Vec<PermissionAnswer>, RedisError>, RedisError>;

/// Classifies the error of a query: the inner error is only a refusal of the query.
fn sorted<T>(answer: Result<T, RedisError>) -> Result<Result<T, RedisError>, RedisError> {
    match answer {
        Err(fault)
            if !matches!(fault.kind, RedisErrorKind::PermissionDenied | RedisErrorKind::CommandError) =>
        {
            Err(fault)
        }
        answer => Ok(answer),
    }
}

async fn by_script(conn: &Conn, questions: &[PermissionProbe]) -> Answers {
    let counts: Vec<String> = questions.iter().map(|question| question.args.len().to_string()).collect();
    let mut args: Vec<&[u8]> = vec![b"EVAL_RO", SCRIPT.as_bytes(), b"0"];
    for (question, count) in questions.iter().zip(&counts) {
        args.push(count.as_bytes());
        args.extend(question.args.iter().map(Vec::as_slice));
    }
    let answers = |(question, reply): (&PermissionProbe, Value)| match reply {
        Value::BulkString(word) => match &*word {
            b"yes" => Some(PermissionAnswer::Allowed),
            b"no" => Some(PermissionAnswer::Forbidden(None)),
            b"unknown" => Some(PermissionAnswer::Absent(format!("unknown command `{}`", question.command()))),
            _ => None,
        },
        _ => None,
    };
    let unexpected = || RedisError::unexpected(conn.address(), "EVAL_RO");
    let answer = match sorted(conn.command(&args).await)? {
        Ok(Value::Array(replies)) => questions.iter().zip(replies).map(answers).collect::<Option<_>>(),
        Ok(_) => None,
        Err(fault) => return Ok(Err(fault)),
    };
    answer.map(Ok).ok_or_else(unexpected)
}

async fn by_dry_run(conn: &Conn, questions: &[PermissionProbe]) -> Answers {
    let user = conn.user();
    let mut batch = Batch::new();
    for question in questions {
        let args = question.args.iter().map(Vec::as_slice);
        batch.add(
            &[b"ACL".as_slice(), b"DRYRUN", user.as_bytes()].into_iter().chain(args).collect::<Vec<_>>(),
        );
    }
    let mut all = Vec::new();
    for reply in conn.batch(batch).await? {
        all.push(match &reply {
            Value::Okay => PermissionAnswer::Allowed,
            Value::SimpleString(word) if word == "OK" => PermissionAnswer::Allowed,
            Value::BulkString(words) => {
                PermissionAnswer::Forbidden(Some(String::from_utf8_lossy(words).into_owned()))
            }
            reply => match conn.fault(reply) {
                Some(fault) if fault.detail.contains("not found") && fault.detail.contains("Command") => {
                    PermissionAnswer::Absent(fault.detail)
                }
                Some(fault) => return sorted(Err(fault)),
                None => return Err(RedisError::unexpected(conn.address(), "ACL DRYRUN")),
            },
        });
    }
    Ok(Ok(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::question;

    const REFUSED: PermissionAnswer = PermissionAnswer::Forbidden(None);

    /// The result of answers to SET, to UNLINK on our own keys and the users' keys, to EVAL, and to EXEC.
    fn check(
        answers: &[PermissionAnswer; 5],
        no_scripts: Option<&str>,
        expected: Result<DeleteBackend, &[&str]>,
    ) {
        let about_keys = PermissionProbe { about_keys: true, ..question("UNLINK a:1", "~a:*") };
        let questions = [
            question("SET k x", "+set"),
            question("UNLINK k", "+unlink"),
            about_keys,
            question("EVAL x 0", "+eval"),
            question("EXEC", "+exec"),
        ];
        let probes = questions.into_iter().zip(answers.iter().cloned()).collect();
        let classified = classify_answer(probes, (3, 1), no_scripts.map(str::to_owned));
        let rules = |missing: Vec<MissingPermission>| {
            missing.into_iter().map(|it| it.rule.unwrap_or(it.command)).collect::<Vec<_>>()
        };
        let expected = expected.map_err(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect());
        assert_eq!(classified.map(|allowed| allowed.delete_backend).map_err(rules), expected, "{answers:?}");
    }

    #[test]
    fn answers_determine_missing_rules_and_delete_backend() {
        let yes = || PermissionAnswer::Allowed;
        let words = |words: &str| PermissionAnswer::Forbidden(Some(words.to_owned()));
        check(&[yes(), yes(), yes(), yes(), REFUSED], None, Ok(DeleteBackend::Lua));
        check(&[yes(), yes(), yes(), REFUSED, yes()], None, Ok(DeleteBackend::Watch));
        check(&[yes(), yes(), yes(), yes(), yes()], Some("disabled here"), Ok(DeleteBackend::Watch));
        check(&[yes(), yes(), yes(), REFUSED, REFUSED], None, Err(&["+eval"]));
        check(&[REFUSED, yes(), yes(), yes(), yes()], None, Err(&["+set"]));
        // The command is named once, and the keys only if the answer is about them.
        check(&[yes(), REFUSED, REFUSED, yes(), yes()], None, Err(&["+unlink"]));
        check(&[yes(), yes(), REFUSED, yes(), yes()], None, Err(&["~a:*"]));
        check(
            &[yes(), PermissionAnswer::Absent("ERR".to_owned()), yes(), yes(), yes()],
            None,
            Err(&["UNLINK"]),
        );
        let (key, command) = (
            "User u has no permissions to access the 'k' key",
            "User u has no permissions to run the 'unlink' command",
        );
        check(&[words(key), yes(), yes(), yes(), yes()], None, Err(&["~keysweep:*"]));
        check(&[yes(), words(command), words(command), yes(), yes()], None, Err(&["+unlink"]));
        check(&[yes(), yes(), words(key), yes(), yes()], None, Err(&["~a:*"]));
    }
}
