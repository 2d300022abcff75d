//! What many worlds went through, added up from what each of them says.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use strum::VariantArray;

use crate::Outcome;
use crate::coverage::Failure;

/// What is said of the world's profile, faults and failures, for [`Tally::add`].
#[must_use]
pub fn said(outcome: &Outcome) -> String {
    let failures = outcome.coverage.failures.iter().map(|failure| format!("failure: {}\n", failure.name()));
    format!(
        "profile: {}\nfaults: {}\n{}",
        outcome.profile,
        outcome.coverage.faults,
        failures.collect::<String>()
    )
}

/// Sums over worlds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// All worlds.
    pub worlds: u64,
    /// Those that were wrong.
    pub wrong: u64,
    faults: u64,
    profiles: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds a world by what it said.
    pub fn add(&mut self, said: &str, is_right: bool) {
        self.worlds += 1;
        self.wrong += u64::from(!is_right);
        for (what, value) in said.lines().filter_map(|line| line.split_once(": ")) {
            match what {
                "profile" => *self.profiles.entry(value.to_owned()).or_default() += 1,
                "failure" => *self.failures.entry(value.to_owned()).or_default() += 1,
                "faults" => self.faults += value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// The sums, and the pace of so much time, for people.
    #[must_use]
    pub fn shown(&self, elapsed: Duration) -> String {
        let minutes = elapsed.as_secs_f64() / 60.0;
        #[expect(clippy::cast_precision_loss, reason = "it is for people")]
        let (worlds, faults) = (self.worlds as f64, self.faults as f64);
        format!(
            "{self}{} worlds in {:.1} s, {:.0} per minute, {:.1} faults per world, {} wrong",
            self.worlds,
            elapsed.as_secs_f64(),
            worlds / minutes.max(f64::MIN_POSITIVE),
            faults / worlds.max(1.0),
            self.wrong,
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (profile, worlds) in &self.profiles {
            writeln!(f, "{worlds:>8}  profile {profile}")?;
        }
        for failure in Failure::VARIANTS {
            let worlds = self.failures.get(failure.name()).copied().unwrap_or(0);
            writeln!(f, "{worlds:>8}  {}", failure.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_add_up() {
        let mut tally = Tally::default();
        tally.add("Completed\nprofile: plain\nfaults: 3\nfailure: slots move\n", true);
        tally.add("profile: plain\nfaults: 1\nWRONG: a: b\n", false);
        let shown = tally.shown(Duration::from_secs(30));
        assert!(shown.contains("       2  profile plain\n"), "{shown}");
        assert!(shown.contains("       1  slots move\n"), "{shown}");
        assert!(
            shown.ends_with("2 worlds in 30.0 s, 4 per minute, 2.0 faults per world, 1 wrong"),
            "{shown}"
        );
    }
}
