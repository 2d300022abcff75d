//! The flags of settings, built from the rows of the settings table. The command line takes them as texts;
//! [`keysweep_config::resolve`] checks them together with the other layers.

use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use keysweep_config::{FlagLayer, SETTINGS, Scope, SettingDef, SettingKind, by_flag};

use super::SELECTION;

/// The flag that names the job file.
const CONFIG: &str = "--config";

/// A command's flags of some scopes. It contains no values: [`given`] collects them from all flags of a command.
pub struct SettingArgs<S>(PhantomData<S>);

/// The scopes of a command's flags.
pub trait Scopes {
    /// In the order of `--help`.
    const SCOPES: &'static [Scope];
}

/// Defines types of [`SettingArgs`].
macro_rules! setting_args {
    ($($(#[doc = $about:literal])+ $name:ident, $marker:ident: $scopes:expr;)+) => {
        $(
            $(#[doc = $about])+
            pub type $name = SettingArgs<$marker>;

            #[doc = concat!("The scopes of [`", stringify!($name), "`].")]
            pub enum $marker {}

            impl Scopes for $marker {
                const SCOPES: &'static [Scope] = $scopes;
            }
        )+
    };
}

setting_args! {
    /// Flags of commands that need only NATS.
    NatsArgs, NatsScopes: &[Scope::Nats];
    /// Flags of commands that connect to Redis and NATS.
    ConnectionArgs, ConnectionScopes: &[Scope::Redis, Scope::Nats];
    /// Flags that define a job: which Redis, which keys, what happens to them.
    JobArgs, JobScopes: &[Scope::Redis, Scope::Nats, Scope::Job];
    /// Settings of `inspect`: which Redis, and how fast.
    InspectSettings, InspectScopes: &[Scope::Redis, Scope::Inspect];
    /// Settings of `ttl advise`: which Redis, which keys, and how fast.
    TtlAdviseSettings, TtlAdviseScopes: &[Scope::Redis, Scope::TtlAdvise];
    /// Settings that only `serve` has.
    ServeSettings, ServeScopes: &[Scope::Serve];
    /// Settings that every worker has.
    WorkerSettings, WorkerScopes: &[Scope::Worker];
    /// Settings that `health` has.
    HealthSettings, HealthScopes: &[Scope::Health];
    /// Settings of a job that reapers have.
    ReaperSettings, ReaperScopes: &[Scope::Reaper];
    /// Settings of a job that `restore` has.
    RestoreSettings, RestoreScopes: &[Scope::Restore];
    /// Settings of a job that `stats` has.
    StatsSettings, StatsScopes: &[Scope::Stats];
    /// Settings of a job that `runs` and `events` have.
    RunsSettings, RunsScopes: &[Scope::Runs];
    /// Settings of a job that `drive` has.
    DriveSettings, DriveScopes: &[Scope::Drive];
}

impl<S: Scopes> Args for SettingArgs<S> {
    fn augment_args(mut command: Command) -> Command {
        for scope in S::SCOPES {
            // Every command with a connection reads the job file, and `health` finds the address there.
            if matches!(scope, Scope::Nats | Scope::Inspect | Scope::TtlAdvise | Scope::Health) {
                command = command.arg(config_file());
            }
            let rows = SETTINGS.iter().filter(|row| row.is_in(*scope));
            command = command.args(rows.filter_map(|row| Some(arg(row, row.flag?, *scope))));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S> FromArgMatches for SettingArgs<S> {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(PhantomData))
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), Error> {
        Ok(())
    }
}

/// The flag of a setting. Its id is the flag with its dashes, so it cannot be taken for another argument's.
fn arg(row: &'static SettingDef, flag: &'static str, scope: Scope) -> Arg {
    let heading = scope.heading().or(row.heading).unwrap_or(row.group.heading());
    let arg = Arg::new(flag).long(long(flag)).help(row.flag_help()).help_heading(heading);
    match row.kind {
        SettingKind::Switch => arg.action(ArgAction::SetTrue),
        kind if kind.is_list() => arg.action(ArgAction::Append).value_name(row.placeholder()),
        _ => arg.action(ArgAction::Set).value_name(row.placeholder()),
    }
}

fn config_file() -> Arg {
    Arg::new(CONFIG)
        .long(long(CONFIG))
        .value_name("FILE")
        .help("The job file [default: ./keysweep.toml if there is one]")
        .help_heading(SELECTION)
}

fn long(flag: &'static str) -> &'static str {
    flag.trim_start_matches('-')
}

/// The settings from the command line of the innermost subcommand, and the job file that `--config` names.
pub(super) fn given(matches: &ArgMatches) -> (FlagLayer, Option<String>) {
    let mut matches = matches;
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let mut layer = FlagLayer::default();
    for (flag, row) in matches.ids().filter_map(|id| Some((id.as_str(), by_flag(id.as_str())?))) {
        match (row.flag, row.kind) {
            (Some(name), SettingKind::Switch) => layer.switch(name, matches.get_flag(flag)),
            (Some(name), _) => {
                let texts = matches.get_many::<String>(flag).unwrap_or_default();
                layer.values(name, &texts.cloned().collect::<Vec<_>>())
            }
            (None, _) => &mut layer,
        };
    }
    let config_file = matches.try_get_one::<String>(CONFIG).ok().flatten().cloned();
    (layer, config_file)
}
