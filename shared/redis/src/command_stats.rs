//! Counts, from `INFO commandstats`, the lookups that cannot be an application reading its cache. Pure.
//!
//! The server increments `keyspace_hits` and `keyspace_misses` for every command that looks a key up to read it.
//! Commands that make exactly one lookup per call and return no value come from a tool, or from a part of an
//! application that is irrelevant to its cache hit rate. Their number is known exactly for any caller, scripts and
//! transactions included. Deliberately absent: EXISTS and TOUCH, which count one per key and may be the application's;
//! `SCAN … TYPE`, which counts one per key on Redis but appears only as one call; and all commands that read values.

use keysweep_model::counters::CommandCounts;

use super::info::Info;

/// Commands with exactly one lookup per call, as the server names them. (Tried on Redis 7.0.15 and 8.0, Valkey 8.1 and
/// 9.1.) Redis 6.2 has one entry for all of OBJECT; it includes `OBJECT HELP`, which looks nothing up.
const ONE_LOOKUP: [&str; 15] = [
    "ttl",
    "pttl",
    "expiretime",
    "pexpiretime",
    "type",
    "dump",
    "object",
    "object|encoding",
    "object|idletime",
    "object|freq",
    "object|refcount",
    "httl",
    "hpttl",
    "hexpiretime",
    "hpexpiretime",
];

/// Commands in which a keysweep run reads at most one value per call, unless it backs up or compares values: the guard
/// and lock scripts, and the query of hash fields.
const SCRIPTS: [&str; 7] = ["eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro", "hrandfield"];

/// Whether each call of `command` is one lookup, counted in [`CommandCounts::one_lookup`].
pub(super) fn is_one_lookup(command: &str) -> bool {
    ONE_LOOKUP.iter().any(|known| known.eq_ignore_ascii_case(command))
}

/// The counts in a reply with the sections `stats` and `commandstats`; `None` if one of them is missing.
pub(super) fn read(info: &Info) -> Option<CommandCounts> {
    if !info.has_any("cmdstat_") {
        return None;
    }
    let calls = |command: &str| info.part(&format!("cmdstat_{command}"), "calls").unwrap_or_default();
    let sum =
        |commands: &[&str]| commands.iter().fold(0, |sum: u64, command| sum.saturating_add(calls(command)));
    let reset = |part: &str| info.part("cmdstat_config|resetstat", part).unwrap_or_default();
    info.number("keyspace_hits").zip(info.number("keyspace_misses"))?;
    Some(CommandCounts {
        one_lookup: sum(&ONE_LOOKUP),
        all: info.number("total_commands_processed").unwrap_or_default(),
        connections: info.number("total_connections_received").unwrap_or_default(),
        resets: reset("calls"),
        reset_us: reset("usec"),
        scripts: Some(sum(&SCRIPTS)),
    })
}

/// How often SWAPDB was called; `None` if `info` has no command statistics.
pub(super) fn swaps(info: &Info) -> Option<u64> {
    info.has_any("cmdstat_").then(|| info.part("cmdstat_swapdb", "calls").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From redis-server 7.0.15, shortened.
    const CAPTURED: &str = "# Stats\r\ntotal_connections_received:9\r\ntotal_commands_processed:70\r\n\
        keyspace_hits:4\r\nkeyspace_misses:1\r\n# Commandstats\r\n\
        cmdstat_object|freq:calls=1,usec=7,usec_per_call=7.00,rejected_calls=0,failed_calls=1\r\n\
        cmdstat_object|help:calls=5,usec=24,usec_per_call=24.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_dump:calls=20,usec=12,usec_per_call=12.00,rejected_calls=3,failed_calls=0\r\n\
        cmdstat_get:calls=1000,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_exists:calls=1000,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_hpexpiretime:calls=300,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_evalsha:calls=9,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_hrandfield:calls=3,usec=6,usec_per_call=6.00,rejected_calls=0,failed_calls=0\r\n\
        cmdstat_config|resetstat:calls=1,usec=101,usec_per_call=101.00,rejected_calls=0,failed_calls=0\r\n";

    #[test]
    fn one_lookup_commands_are_summed() {
        let expected = CommandCounts {
            one_lookup: 321,
            all: 70,
            connections: 9,
            resets: 1,
            reset_us: 101,
            scripts: Some(12),
        };
        assert_eq!(read(&Info::parse(CAPTURED)), Some(expected));
        // Redis 6.2 has one entry for OBJECT.
        let older = CAPTURED.replace("object|freq", "object").replace("|resetstat", "");
        assert_eq!(read(&Info::parse(older)), Some(CommandCounts { resets: 0, reset_us: 0, ..expected }));
    }

    #[test]
    fn missing_statistics_are_not_zero() {
        assert_eq!(read(&Info::parse("keyspace_hits:4\r\nkeyspace_misses:1\r\n# Commandstats\r\n")), None);
        let hidden = CAPTURED.replace("keyspace_misses:1\r\n", "");
        assert_eq!(read(&Info::parse(hidden)), None);
        let large = "keyspace_hits:1\r\nkeyspace_misses:1\r\n\
            cmdstat_ttl:calls=18446744073709551615\r\ncmdstat_type:calls=9\r\ncmdstat_dump:calls=-1\r\n";
        assert_eq!(read(&Info::parse(large)).unwrap().one_lookup, u64::MAX);
    }
}
