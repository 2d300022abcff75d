//! The texts that stand after the flags in `--help`: examples and exit codes.

/// After the help of `keysweep`.
pub(super) const MAIN: &str = "\
Examples:
  keysweep plan --redis redis://cache:6379
  keysweep run --redis redis://cache:6379 --pattern 'sessions:*' --yes
  keysweep config show --config keysweep.toml

Every setting may also come from the environment or from a job file. Flags win
over the environment, the environment over the file. A flag's variable has its
name: --scan-batch-size is KEYSWEEP_SCAN_BATCH_SIZE.

Exit codes:
  0  done                    3  partial: something was not covered
  1  failed                  4  refused by a guard or a held lock
  2  usage or configuration  5  Redis is unreachable
  130, 143  stopped by SIGINT, SIGTERM";

/// After the help of `keysweep run`.
pub(super) const RUN: &str = "\
Examples:
  keysweep run --dry-run
  keysweep run --redis redis://cache:6379 --protect 'permissions:system:*'
  keysweep run --config keysweep.toml --job nightly --yes --json

On a terminal a run that deletes shows its plan and asks; elsewhere it needs
--yes. The exit codes are those of `keysweep --help`.";

/// After the help of `keysweep plan`.
pub(super) const PLAN: &str = "\
Examples:
  keysweep plan --redis redis://cache:6379
  keysweep plan --config keysweep.toml --job nightly --json";

/// After the help of `keysweep demo`.
pub(super) const DEMO: &str = "\
Examples:
  keysweep demo
  keysweep demo --keys 1000000 --stale-percent 5 --keep

Needs redis-server on this machine; touches no other Redis.";

/// After the help of `keysweep config`.
pub(super) const CONFIG: &str = "\
Examples:
  keysweep config show --grace 5s
  keysweep config check keysweep.toml";

/// After the help of `keysweep completions`.
pub(super) const COMPLETIONS: &str = "\
Example:
  keysweep completions bash > /etc/bash_completion.d/keysweep";
