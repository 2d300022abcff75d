//! Lua scripts, carried out by a real interpreter of the version that servers have: the guard that is tested here is the
//! one that deletes in production.

use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Value};
use sha1::{Digest, Sha1};

use super::deployment::Deployment;
use super::resp::Reply;
use super::transaction::Session;

/// SHA-1 as hexadecimal digits.
pub(crate) fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Carries out `text` at the node `at`, atomically.
pub(crate) fn run(
    lua: &Lua,
    deployment: &mut Deployment,
    at: usize,
    text: &Arc<str>,
    keys: &[Vec<u8>],
    args: &[Vec<u8>],
) -> Reply {
    let function = match compiled(lua, deployment, text) {
        Ok(function) => function,
        Err(e) => return Reply::error(format!("ERR {}", e.to_string().replace(['\r', '\n'], " "))),
    };
    let deployment = std::cell::RefCell::new(deployment);
    let call = |lua: &Lua, words: MultiValue| -> mlua::Result<Reply> {
        let words: mlua::Result<Vec<Vec<u8>>> = words.iter().map(|word| bytes(lua, word)).collect();
        let mut session = Session::of_script();
        Ok(deployment.borrow_mut().carry_out(at, &mut session, &words?))
    };
    let done = lua.scope(|scope| {
        let redis = lua.create_table()?;
        redis.set("pcall", scope.create_function(|lua, words| to_lua(lua, &call(lua, words)?))?)?;
        let fallible = scope.create_function(|lua, words| match call(lua, words)? {
            Reply::Error(text) => Err(mlua::Error::RuntimeError(text)),
            reply => to_lua(lua, &reply),
        });
        redis.set("call", fallible?)?;
        redis.set("sha1hex", lua.create_function(|_, text: mlua::String| Ok(sha1_hex(&text.as_bytes())))?)?;
        redis.set("acl_check_cmd", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
        let error = |lua: &Lua, text: mlua::String| {
            let table = lua.create_table()?;
            table.set("err", text)?;
            Ok(table)
        };
        redis.set("error_reply", lua.create_function(error)?)?;
        let globals = lua.globals();
        globals.set("redis", redis)?;
        for (name, values) in [("KEYS", keys), ("ARGV", args)] {
            let values: mlua::Result<Vec<_>> = values.iter().map(|value| lua.create_string(value)).collect();
            globals.set(name, values?)?;
        }
        let value: Value = function.call(())?;
        of_lua(&value)
    });
    done.unwrap_or_else(|e| Reply::error(format!("ERR {}", e.to_string().replace(['\r', '\n'], " "))))
}

/// The script as a function: it is compiled once.
fn compiled(lua: &Lua, deployment: &mut Deployment, text: &Arc<str>) -> mlua::Result<Function> {
    if let Some(function) = deployment.compiled.get(text) {
        return Ok(function.clone());
    }
    let body = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
        None => text,
    };
    let function = lua.load(body).into_function()?;
    deployment.compiled.insert(Arc::clone(text), function.clone());
    Ok(function)
}

/// A word of a command; numbers as Redis converts them.
fn bytes(lua: &Lua, word: &Value) -> mlua::Result<Vec<u8>> {
    let text = lua.coerce_string(word.clone())?;
    let text = text
        .ok_or_else(|| mlua::Error::RuntimeError("ERR arguments must be strings or integers".to_owned()))?;
    Ok(text.as_bytes().to_vec())
}

fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    let named = |name: &str, text: &str| {
        let table = lua.create_table()?;
        table.set(name, text)?;
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Status(text) => named("ok", text),
        Reply::Error(text) => named("err", text),
        #[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
        Reply::Int(number) => Ok(Value::Number(*number as f64)),
        Reply::Bulk(None) => Ok(Value::Boolean(false)),
        Reply::Bulk(Some(text)) => lua.create_string(text).map(Value::String),
        Reply::Array(items) => {
            let table = lua.create_table()?;
            for (place, item) in items.iter().enumerate() {
                table.set(place + 1, to_lua(lua, item)?)?;
            }
            Ok(Value::Table(table))
        }
    }
}

fn of_lua(value: &Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::String(text) => Reply::text(text.as_bytes().to_vec()),
        Value::Integer(number) => Reply::Int(*number),
        #[expect(clippy::cast_possible_truncation, reason = "as Redis does")]
        Value::Number(number) => Reply::Int(*number as i64),
        Value::Boolean(true) => Reply::Int(1),
        Value::Table(table) => {
            match (table.get::<Option<String>>("err")?, table.get::<Option<String>>("ok")?) {
                (Some(text), _) => Reply::Error(text),
                (None, Some(_)) => Reply::OK,
                (None, None) => {
                    let items: mlua::Result<Vec<Reply>> =
                        table.sequence_values::<Value>().map(|item| of_lua(&item?)).collect();
                    Reply::Array(items?)
                }
            }
        }
        _ => Reply::Bulk(None),
    })
}
