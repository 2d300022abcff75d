//! Whether the user may do what a run writes, and in which way, asked before anybody has agreed to it: nothing that is
//! sent here is a write, or a script that could be one. A script that may only read asks the server what the user may
//! run (`EVAL_RO`, from Redis 7.0 on). Where no scripts run, `ACL DRYRUN` tells the same.

use redis::Value;

use super::capabilities::{self, Capabilities};
use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::preflight::{MissingPermission, PermissionProbe, RequiredPermissions, found, unknown, writing};
use crate::messages::DeleteBackend;

const SCRIPT: &str = include_str!("rights.lua");

/// What is known of the rights to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermissionCheck {
    /// What is missing; and how a run may act, if nothing is.
    Known(Result<Capabilities, Vec<MissingPermission>>),
    /// The server does not tell; why.
    Unknown(String),
}

/// What a server says of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PermissionAnswer {
    Allowed,
    /// The user may not; its words, if it used any.
    Forbidden(Option<String>),
    /// It has no such command.
    Absent(String),
}

/// Asks the server behind `conn` for the rights to write that `needs` takes.
///
/// # Errors
/// When the server fails.
pub async fn ask(conn: &Conn, needs: &RequiredPermissions<'_>) -> Result<PermissionCheck, RedisError> {
    let [writes, scripts, transactions] =
        [writing(needs), capabilities::scripts(), capabilities::transactions()];
    let counts = (writes.len(), scripts.len());
    let questions: Vec<PermissionProbe> = writes.into_iter().chain(scripts).chain(transactions).collect();
    let (said, no_scripts) = match by_script(conn, &questions).await? {
        Ok(said) => (said, None),
        Err(refusal) => match by_dry_run(conn, &questions).await? {
            // A server that refuses a script for another reason than rights runs none.
            Ok(said) => (said, (!is_absent(&refusal)).then_some(refusal.detail)),
            Err(other) => {
                let why = format!("`EVAL_RO`: {}; `ACL DRYRUN`: {}", refusal.detail, other.detail);
                return Ok(PermissionCheck::Unknown(why));
            }
        },
    };
    if said.len() != questions.len() {
        return Err(RedisError::unexpected(conn.address(), "EVAL_RO"));
    }
    Ok(PermissionCheck::Known(classify_answer(questions.into_iter().zip(said).collect(), counts, no_scripts)))
}

/// Whether `refusal` says no more than that this command is not to be had, or not by this user.
fn is_absent(refusal: &RedisError) -> bool {
    refusal.kind == RedisErrorKind::PermissionDenied || refusal.is_unknown_command()
}

/// What is missing of the `answers`, of which the first are about writes, the next about scripts, as many as `counts`
/// says, and the others about transactions. `no_scripts` is what the server said if it runs none.
fn classify_answer(
    mut answers: Vec<(PermissionProbe, PermissionAnswer)>,
    counts: (usize, usize),
    no_scripts: Option<String>,
) -> Result<Capabilities, Vec<MissingPermission>> {
    let transactions = answers.split_off(counts.0 + counts.1);
    let scripts = answers.split_off(counts.0);
    let refused = |(question, said): &(PermissionProbe, PermissionAnswer)| {
        (!question.about_keys && *said != PermissionAnswer::Allowed).then(|| question.command())
    };
    let commands: Vec<String> = answers.iter().filter_map(refused).collect();
    let lacks = |(question, said)| lacking(question, said, &commands);
    let mut missing: Vec<MissingPermission> = answers.into_iter().filter_map(lacks).collect();
    missing.dedup_by(|a, b| a.rule == b.rule && a.command == b.command);
    let lacking_scripts: Vec<MissingPermission> =
        scripts.into_iter().filter_map(|it| lacking(it.0, it.1, &[])).collect();
    let refusal = no_scripts.or_else(|| lacking_scripts.first().map(|first| first.detail.clone()));
    let way = match refusal {
        None => Some(Capabilities { delete_backend: DeleteBackend::Lua, refusal: None }),
        Some(_) if transactions.iter().all(|(_, said)| *said == PermissionAnswer::Allowed) => {
            Some(Capabilities { delete_backend: DeleteBackend::Watch, refusal })
        }
        Some(_) => {
            missing.extend(lacking_scripts);
            None
        }
    };
    way.filter(|_| missing.is_empty()).ok_or(missing)
}

/// What is missing where the server says this; `commands` are those that the user may not run, whatever the key.
fn lacking(
    question: PermissionProbe,
    said: PermissionAnswer,
    commands: &[String],
) -> Option<MissingPermission> {
    let command = question.command();
    match said {
        PermissionAnswer::Allowed => None,
        PermissionAnswer::Absent(detail) => Some(unknown(&question, detail)),
        PermissionAnswer::Forbidden(Some(words)) => found(question, words),
        // A script is not told why. A command that is refused for any key is named by a question of its own.
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

/// The server's fault where it does not answer, and the inner one where it does not let us ask.
type Answers = Result<Result<Vec<PermissionAnswer>, RedisError>, RedisError>;

/// The fault of a question, sorted: whether it is no more than a refusal of the question.
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
    let said = |(question, reply): (&PermissionProbe, Value)| match reply {
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
        Ok(Value::Array(replies)) => questions.iter().zip(replies).map(said).collect::<Option<_>>(),
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
    use crate::cluster::preflight::question;

    const REFUSED: PermissionAnswer = PermissionAnswer::Forbidden(None);

    /// What comes of answers to SET, to UNLINK on our own and on the users' keys, to EVAL, and to EXEC.
    fn check(
        said: &[PermissionAnswer; 5],
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
        let answers = questions.into_iter().zip(said.iter().cloned()).collect();
        let judged = classify_answer(answers, (3, 1), no_scripts.map(str::to_owned));
        let rules = |missing: Vec<MissingPermission>| {
            missing.into_iter().map(|it| it.rule.unwrap_or(it.command)).collect::<Vec<_>>()
        };
        let expected = expected.map_err(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect());
        assert_eq!(judged.map(|allowed| allowed.delete_backend).map_err(rules), expected, "{said:?}");
    }

    #[test]
    fn what_is_missing_and_the_way() {
        let yes = || PermissionAnswer::Allowed;
        let words = |words: &str| PermissionAnswer::Forbidden(Some(words.to_owned()));
        check(&[yes(), yes(), yes(), yes(), REFUSED], None, Ok(DeleteBackend::Lua));
        check(&[yes(), yes(), yes(), REFUSED, yes()], None, Ok(DeleteBackend::Watch));
        check(&[yes(), yes(), yes(), yes(), yes()], Some("disabled here"), Ok(DeleteBackend::Watch));
        check(&[yes(), yes(), yes(), REFUSED, REFUSED], None, Err(&["+eval"]));
        check(&[REFUSED, yes(), yes(), yes(), yes()], None, Err(&["+set"]));
        // The command is named once, and the keys only where it is about them.
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
