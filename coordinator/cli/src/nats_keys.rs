//! `keysweep nats keys`: the key that signs the coordinator's messages, and the line with its public half for the
//! settings of workers.

use coordinator::exit;
use keysweep_files as files;
use keysweep_signing::SigningKey;
use serde_json::json;

use super::args::KeysArgs;
use super::error::CommandError;
use super::run::OutputMode;

/// Creates the file, readable by its owner only, unless it exists; prints the public half.
///
/// # Errors
/// When the file cannot be written, or contains something else.
pub fn nats_keys(args: &KeysArgs, show: OutputMode) -> Result<u8, CommandError> {
    let made = std::fs::symlink_metadata(&args.file).is_err();
    if made {
        let text = SigningKey::generate().map_err(|e| CommandError::Usage(e.to_string()))?;
        files::replace(&args.file, text.as_bytes()).map_err(|e| CommandError::Usage(e.to_string()))?;
    }
    let key = SigningKey::read(&args.file).map_err(|e| CommandError::Usage(e.to_string()))?;
    let (public, file) = (key.public().to_string(), args.file.display().to_string());
    let document = json!({ "publicKey": public, "file": file, "created": made });
    show.print(&document, || format!("trusted_keys = [\"{public}\"]\n"))?;
    let state = if made { "created" } else { "present already" };
    tracing::info!(
        "`{file}` is {state}: `[nats] signing_key_file` for those who start runs; the line above, under `[nats]`, for all"
    );
    Ok(exit::DONE)
}
