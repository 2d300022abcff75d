//! Where `redis-server` is: `KEYSWEEP_REDIS_SERVER` names a binary, otherwise it is looked for in PATH.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ServersError;

/// The environment variable that names another `redis-server` binary, such as one of another version.
const OVERRIDE: &str = "KEYSWEEP_REDIS_SERVER";

/// The `redis-server` to start.
///
/// # Errors
/// [`ServersError::MissingBinary`], whose text says how to install one.
pub fn redis_server() -> Result<PathBuf, ServersError> {
    choose(environment(OVERRIDE), environment("PATH").unwrap_or_default().as_str())
}

/// The first executable file called `name` in PATH.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_in(&environment("PATH")?, name)
}

#[expect(clippy::disallowed_methods, reason = "which test server to start is no setting of keysweep")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn choose(named: Option<String>, path: &str) -> Result<PathBuf, ServersError> {
    if let Some(named) = named {
        let named = PathBuf::from(named);
        if is_program(&named) {
            return Ok(named);
        }
        return Err(ServersError::MissingBinary(format!(
            "`{OVERRIDE}` names `{}`, which is no executable file: name a redis-server binary (7.0 or newer), or unset it",
            named.display()
        )));
    }
    find_in(path, "redis-server").ok_or_else(|| {
        ServersError::MissingBinary(format!(
            "`redis-server` is not in PATH: install it with `apt-get install redis-server` (`cargo xtask demo` does \
             that by itself), or name a binary in `{OVERRIDE}`"
        ))
    })
}

fn find_in(path: &str, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_says_how_to_get_one() {
        let message = choose(None, "/nonexistent").unwrap_err().to_string();
        assert!(message.contains("`redis-server` is not in PATH"), "{message}");
        assert!(message.contains("apt-get install redis-server"), "{message}");
    }

    #[test]
    fn a_wrong_override_is_named_and_not_passed_over() {
        for wrong in ["/nonexistent/redis-server", "/etc", "/etc/passwd"] {
            let message = choose(Some(wrong.to_owned()), "/usr/bin").unwrap_err().to_string();
            assert!(message.contains(wrong) && message.contains(OVERRIDE), "{message}");
        }
    }

    #[test]
    fn the_override_wins_and_path_is_searched_in_order() {
        assert_eq!(choose(Some("/bin/sh".to_owned()), "").unwrap(), Path::new("/bin/sh"));
        assert_eq!(find_in("/nonexistent:/bin:/usr/bin", "sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in("/bin", "no-such-program"), None);
    }
}
