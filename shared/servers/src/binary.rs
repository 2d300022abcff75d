//! Finds the binaries of servers to start: an environment variable selects one (for example of another version);
//! otherwise PATH is searched.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ServersError;

/// A server program, and where to find it.
struct Program {
    /// The program's name, which is also the name of its Debian package.
    name: &'static str,
    /// The environment variable that selects another binary.
    variable: &'static str,
    /// The supported versions.
    versions: &'static str,
    /// A directory to search after PATH; empty for none.
    also_in: &'static str,
    /// The keysweep command that installs it.
    installed_by: &'static str,
}

const REDIS: Program = Program {
    name: "redis-server",
    variable: "KEYSWEEP_REDIS_SERVER",
    versions: "6.2 or newer",
    also_in: "",
    installed_by: "cargo xtask demo",
};

/// Debian installs nats-server in a directory that may not be in an ordinary user's PATH.
const NATS: Program = Program {
    name: "nats-server",
    variable: "KEYSWEEP_NATS_SERVER",
    versions: "2.9 or newer",
    also_in: "/usr/sbin",
    installed_by: "cargo xtask test",
};

/// The `redis-server` to start: the one in `KEYSWEEP_REDIS_SERVER`, or the one in PATH.
///
/// # Errors
/// [`ServersError::MissingBinary`], which explains how to install one, and [`ServersError::WrongBinary`].
pub fn redis_server() -> Result<PathBuf, ServersError> {
    look_for(&REDIS)
}

/// The `nats-server` to start: the one in `KEYSWEEP_NATS_SERVER`, or the one in PATH or `/usr/sbin`.
///
/// # Errors
/// [`ServersError::MissingBinary`], which explains how to install one, and [`ServersError::WrongBinary`].
pub fn nats_server() -> Result<PathBuf, ServersError> {
    look_for(&NATS)
}

/// The first executable file called `name` in PATH.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_in(&environment("PATH")?, name)
}

fn look_for(program: &Program) -> Result<PathBuf, ServersError> {
    choose(program, environment(program.variable), &environment("PATH").unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "which test server to start is no setting of keysweep")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn choose(program: &Program, named: Option<String>, path: &str) -> Result<PathBuf, ServersError> {
    let Program { name, variable, versions, also_in, installed_by } = program;
    if let Some(named) = named {
        let named = PathBuf::from(named);
        if is_program(&named) {
            return Ok(named);
        }
        return Err(ServersError::WrongBinary(format!(
            "`{variable}` names `{}`, which is not an executable file: name a {name} binary ({versions}), or unset it",
            named.display()
        )));
    }
    find_in(path, name).or_else(|| find_in(also_in, name)).ok_or_else(|| {
        ServersError::MissingBinary(format!(
            "`{name}` is not in PATH: install it with `apt-get install {name}` (`{installed_by}` does that by \
             itself), or name a binary in `{variable}`"
        ))
    })
}

fn find_in(path: &str, name: &str) -> Option<PathBuf> {
    let dirs = std::env::split_paths(path).filter(|dir| !dir.as_os_str().is_empty());
    dirs.map(|dir| dir.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_says_how_to_get_one() {
        for program in [REDIS, Program { also_in: "", ..NATS }] {
            let message = choose(&program, None, "/nonexistent").unwrap_err().to_string();
            assert!(message.contains(&format!("`{}` is not in PATH", program.name)), "{message}");
            assert!(message.contains(&format!("apt-get install {}", program.name)), "{message}");
        }
    }

    #[test]
    fn a_wrong_override_is_named_and_not_passed_over() {
        for wrong in ["/nonexistent/redis-server", "/etc", "/etc/passwd"] {
            for program in [REDIS, NATS] {
                let error = choose(&program, Some(wrong.to_owned()), "/usr/bin").unwrap_err();
                assert!(matches!(error, ServersError::WrongBinary(_)), "{error}");
                let message = error.to_string();
                assert!(message.contains(wrong) && message.contains(program.variable), "{message}");
            }
        }
    }

    #[test]
    fn the_override_wins_and_path_is_searched_in_order() {
        assert_eq!(choose(&REDIS, Some("/bin/sh".to_owned()), "").unwrap(), Path::new("/bin/sh"));
        assert_eq!(find_in("/nonexistent:/bin:/usr/bin", "sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in("/bin", "no-such-program"), None);
    }

    #[test]
    fn path_comes_before_the_other_directory() {
        let shell = Program { name: "sh", also_in: "/bin", ..NATS };
        assert_eq!(choose(&shell, None, "").unwrap(), Path::new("/bin/sh"));
        assert_eq!(choose(&shell, None, "/usr/bin").unwrap(), Path::new("/usr/bin/sh"));
    }
}
