//! The texts after the flags in `--help`: examples and exit codes.

/// After the help of `keysweep`.
pub(super) const MAIN: &str = "\
Examples:
  keysweep inspect --redis redis://cache:6379
  keysweep plan --redis redis://cache:6379
  keysweep run --redis redis://cache:6379 --pattern 'sessions:*' --yes
  keysweep config show --config keysweep.toml

Every setting may also come from the environment or from a job file. Flags win
over the environment, the environment over the file. A flag's variable has its
name: --scan-batch-size is KEYSWEEP_SCAN_BATCH_SIZE.

Exit codes:
  0  done                    3  partial: something was not covered
  1  failed                  4  refused by a guard or a held lock
  2  usage or configuration  5  Redis or NATS is unreachable
  130, 143  stopped by SIGINT, SIGTERM";

/// After the help of `keysweep inspect`.
pub(super) const INSPECT: &str = "\
Examples:
  keysweep inspect --redis redis://cache:6379
  keysweep inspect --redis redis://cache:6379 --max-speed --json
  keysweep inspect --rdb /var/lib/redis/dump.rdb
  zstd -dc dump.rdb.zst | keysweep inspect --rdb -

Reads the names and TTLs of all keys of the database, and sends no write.";

/// After the help of `keysweep ttl advise`.
pub(super) const TTL_ADVISE: &str = "\
Examples:
  keysweep ttl advise --redis redis://cache:6379 --for 30m
  keysweep ttl advise --redis redis://cache:6379 --configured-ttl 1h --json
  keysweep ttl advise --pattern 'product:*' --target-hit-rate 95

Hits and misses need two looks: without --for, call it again after half a TTL, or from
cron. What a look saw is kept in the state file. Sends no write.";

/// After the help of `keysweep run`.
pub(super) const RUN: &str = "\
Examples:
  keysweep run --dry-run
  keysweep run --redis redis://cache:6379 --protect 'permissions:system:*'
  keysweep run --config keysweep.toml --job nightly --yes --json
  keysweep run --nats nats://nats:4222 --redis redis://cache:6379 --yes
  keysweep run --via http://127.0.0.1:9464 --job nightly --dry-run

With --nats, NATS_URL or [nats] in the job file, workers do the run, and it goes
on if this command dies. On a terminal a run that deletes shows its plan and
asks; elsewhere it needs --yes. The exit codes are those of `keysweep --help`.";

/// After the help of `keysweep plan`.
pub(super) const PLAN: &str = "\
Examples:
  keysweep plan --redis redis://cache:6379
  keysweep plan --config keysweep.toml --job nightly --json";

/// After the help of `keysweep policy check`.
pub(super) const POLICY_CHECK: &str = "\
Examples:
  keysweep inspect --redis redis://cache:6379 --write-policy keysweep.toml
  keysweep policy check --redis redis://cache:6379
  keysweep policy check --rdb /var/lib/redis/dump.rdb
  keysweep policy check --config keysweep.toml --job hygiene --format junit > policy.xml";

/// After the help of `keysweep ttl experiment plan`.
pub(super) const EXPERIMENT_PLAN: &str = "\
Examples:
  keysweep ttl experiment plan --identity 'permissions:{user}:*' --other-ttl 2h
  keysweep ttl experiment plan --other-ttl 30m --effect 10 --period 1d --json

The TTL of today is `configured_ttl` of the job. Reads the names and TTLs of all
keys of the job once, and sends no write.";

/// After the help of `keysweep ttl experiment start`.
pub(super) const EXPERIMENT_START: &str = "\
Examples:
  keysweep ttl experiment start --other-ttl 2h --effect 5

Writes one small hash, `keysweep:ttl:NAME`, which the application reads, and
which expires when the experiment is over. No other key is changed.";

/// After the help of `keysweep ttl experiment status`.
pub(super) const EXPERIMENT_STATUS: &str = "\
Examples:
  keysweep ttl experiment status --watch
  keysweep ttl experiment status --json

Exit codes: 0 it goes on, or is decided; 3 undecided or invalid; 4 a guard
stopped it.";

/// After the help of `keysweep restore`.
pub(super) const RESTORE: &str = "\
Examples:
  keysweep run --redis redis://cache:6379 --backup /var/backups/keysweep --yes
  keysweep restore /var/backups/keysweep --dry-run
  keysweep restore /var/backups/keysweep --redis redis://cache:6379
  keysweep restore /var/backups/keysweep --match 'permissions:42:*' --yes

A restoration that was cut off is simply begun again. Exit code 3: not all could
be put back, or a file is damaged; what is intact is put back all the same.";

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
  keysweep config check keysweep.toml
  keysweep config init --output keysweep.toml";

/// After the help of `keysweep completions`.
pub(super) const COMPLETIONS: &str = "\
Example:
  keysweep completions bash > /etc/bash_completion.d/keysweep";

/// After the help of `keysweep serve`.
pub(super) const SERVE: &str = "\
Examples:
  keysweep serve --config keysweep.toml
  keysweep serve --nats nats://nats:4222 --redis redis://cache:6379

Starts the runs that are due, drives those that wait, and answers programs over
NATS: requests to keysweep.api.run, .cancel and .stats. Several may run side by
side. SIGTERM hands over what it drives, SIGHUP reads the job file again.";

/// After the help of the worker roles.
pub(super) const ROLES: &str = "\
Examples:
  keysweep worker --nats nats://nats:4222 --redis redis://cache:6379
  keysweep scanner --nats nats://nats:4222 --redis redis://cache:6379
  keysweep reaper --config keysweep.toml --admin-addr 0.0.0.0:9090

Any number may run side by side, be stopped and killed. SIGTERM finishes what is
in hand and exits with 0.";

/// After the help of `keysweep health`.
pub(super) const HEALTH: &str = "\
Examples:
  keysweep health --admin-addr 127.0.0.1:9464
  keysweep health --config keysweep.toml --live

For the health checks of containers: prints one line, and exits with 0 if the
answer is good and with 1 otherwise, within a few seconds.";

/// After the help of `keysweep stats`.
pub(super) const STATS: &str = "\
Examples:
  keysweep stats --nats nats://nats:4222
  keysweep stats --job nightly --json";

/// After the help of `keysweep runs`.
pub(super) const RUNS: &str = "\
Examples:
  keysweep runs list
  keysweep runs list --nats nats://nats:4222
  keysweep runs attach last
  keysweep runs cancel last
  keysweep runs report 01a20311-0c78-779c-ba00-8a828b8f0604 --html -o run.html
  keysweep runs audit 01a20311-0c78-779c-ba00-8a828b8f0604 > deleted.jsonl
  keysweep runs audit --prefix sessions:42: --since 7d";

/// After the help of `keysweep schedule`.
pub(super) const SCHEDULE: &str = "\
Examples:
  keysweep schedule explain nightly
  keysweep schedule explain nightly --nats nats://nats:4222 --json
  keysweep schedule simulate nightly --config keysweep.toml";

/// After the help of `keysweep events`.
pub(super) const EVENTS: &str = "\
Examples:
  keysweep events --follow --nats nats://nats:4222
  keysweep events --since 24h --json

One CloudEvent per line with --json. The same is on the subjects
keysweep.events.<job>.<kind>.<run>, in the stream KEYSWEEP_EVENTS.";
