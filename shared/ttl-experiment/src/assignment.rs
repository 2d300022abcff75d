//! Which user has which TTL at which time. The application computes the same: `docs/ttl-experiments.md` has the formula
//! and test vectors.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::limits::{CLOCKS_SHARE, CYCLES_MIN};

/// Weights are multiples of the inverse of this.
const WEIGHT_STEPS: f64 = 64.0;

/// The bucket of a user: the 64-bit XXH3 of the salt followed by the id, modulo the number of buckets. `buckets` is not 0.
#[must_use]
pub fn bucket_of(salt: &str, user: &[u8], buckets: u32) -> u32 {
    let mut hash = Xxh3::new();
    hash.update(salt.as_bytes());
    hash.update(user);
    let bucket = hash.digest().checked_rem(u64::from(buckets)).unwrap_or_default();
    u32::try_from(bucket).unwrap_or_default()
}

/// An arm: what its users get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arm {
    /// The TTL of today.
    Control,
    /// The other TTL.
    Treated,
}

/// Which bucket has which TTL at which time.
///
/// Buckets from 0 to the middle are the first group, the others the second. In even periods the first group is the
/// control, in odd periods the second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// What user ids are hashed with, so that another experiment has other groups.
    pub salt: String,
    /// The number of buckets.
    pub buckets: u32,
    /// The TTL of the control in ms.
    pub control_ttl_ms: u64,
    /// The TTL of the treated arm in ms.
    pub treated_ttl_ms: u64,
    /// When the first period begins, in ms since the epoch.
    pub start_ms: u64,
    /// The length of a period in ms; not 0.
    pub period_ms: u64,
    /// When the experiment ends, in ms since the epoch: an even number of periods after its beginning.
    pub until_ms: u64,
}

impl Assignment {
    /// The longer of the two TTLs in ms.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.control_ttl_ms.max(self.treated_ttl_ms)
    }

    /// The shorter of the two TTLs in ms.
    #[must_use]
    pub fn shortest_ms(&self) -> u64 {
        self.control_ttl_ms.min(self.treated_ttl_ms)
    }

    /// The TTL of an arm in ms.
    #[must_use]
    pub const fn ttl_ms(&self, arm: Arm) -> u64 {
        match arm {
            Arm::Control => self.control_ttl_ms,
            Arm::Treated => self.treated_ttl_ms,
        }
    }

    /// The number of periods.
    #[must_use]
    pub fn periods(&self) -> u64 {
        self.until_ms.saturating_sub(self.start_ms).checked_div(self.period_ms).unwrap_or_default()
    }

    /// The bucket of a user.
    #[must_use]
    pub fn bucket(&self, user: &[u8]) -> u32 {
        bucket_of(&self.salt, user, self.buckets)
    }

    /// The first bucket of the second group.
    #[must_use]
    pub const fn middle(&self) -> u32 {
        self.buckets / 2
    }

    /// The period at a time in ms since the epoch; none before the experiment and after it.
    #[must_use]
    pub fn period_at(&self, at_ms: u64) -> Option<u64> {
        let since = at_ms.checked_sub(self.start_ms).filter(|_| at_ms < self.until_ms)?;
        since.checked_div(self.period_ms)
    }

    /// The arm of a bucket in a period.
    #[must_use]
    pub const fn arm(&self, bucket: u32, period: u64) -> Arm {
        if (bucket < self.middle()) == period.is_multiple_of(2) { Arm::Control } else { Arm::Treated }
    }

    /// The part of a period that is measured, in ms since the epoch.
    ///
    /// The longest TTL at the beginning is left out: until then there are entries of the other arm. The rest is a whole
    /// number of longest TTLs, and as nearly as possible also one of the shortest: see [`Assignment::weight`].
    #[must_use]
    pub fn measured(&self, period: u64) -> Range<u64> {
        let begin = self.start_ms + period * self.period_ms;
        let from = begin + self.left_out_ms();
        from..from + self.measured_ms()
    }

    /// What a fill at a time of a measured part counts: 1, and less within one longest TTL of its ends.
    ///
    /// Keys that are asked for often are filled in the rhythm of their TTL and of the time until they are asked for again.
    /// Swapping the arms leaves that rhythm uneven for long: after a change from 1 h to 2 h, a key that is always asked for is
    /// filled in every second hour, and so are all others. Over whole cycles it does not matter. The slopes make a part of a
    /// cycle that is left over count little.
    #[must_use]
    pub fn weight(&self, period: u64, filled_ms: u64) -> f64 {
        let measured = self.measured(period);
        let (since, left) =
            (filled_ms.saturating_sub(measured.start), measured.end.saturating_sub(filled_ms));
        let share = since.min(left) as f64 / self.longest_ms().max(1) as f64;
        // Coarse, so that sums are short as text.
        (share.min(1.0) * WEIGHT_STEPS).round() / WEIGHT_STEPS
    }

    fn left_out_ms(&self) -> u64 {
        let longest = self.longest_ms();
        longest + (longest as f64 * CLOCKS_SHARE) as u64
    }

    /// The length of the measured part of a period in ms; 0 if the period is too short for one.
    #[must_use]
    pub fn measured_ms(&self) -> u64 {
        let (longest, shortest) = (self.longest_ms(), self.shortest_ms());
        let Some(room) = self.period_ms.checked_sub(self.left_out_ms()) else { return 0 };
        let most = room.checked_div(longest).unwrap_or_default();
        let fewest = (most / 2 + 1).max(CYCLES_MIN);
        // With the slopes at both ends, the even part is one cycle shorter.
        let uneven = |cycles: u64| {
            let others = ((cycles - 1) * longest) as f64 / shortest as f64;
            (others - others.round()).abs() / others
        };
        // The longest of those that are equally even.
        let best = (fewest..=most).rev().min_by(|a, b| uneven(*a).total_cmp(&uneven(*b)));
        best.unwrap_or_default() * longest
    }

    /// When an entry was written that a bucket's user has and that expires at `expires_ms`, if that was in a measured part
    /// of a period; none otherwise.
    #[must_use]
    pub fn filled_at(&self, bucket: u32, expires_ms: u64) -> Option<(u64, u64)> {
        [Arm::Control, Arm::Treated].into_iter().find_map(|arm| {
            let filled_ms = expires_ms.checked_sub(self.ttl_ms(arm))?;
            let period = self.period_at(filled_ms)?;
            let fits = self.arm(bucket, period) == arm && self.measured(period).contains(&filled_ms);
            fits.then_some((period, filled_ms))
        })
    }

    /// Whether an entry of a bucket that expires at `expires_ms` cannot have been written by an application that follows
    /// the assignment, as of `now_ms`. None outside of measured parts, and for buckets whose arm has the longer TTL: nothing
    /// is impossible there.
    #[must_use]
    pub fn is_impossible(&self, bucket: u32, expires_ms: u64, now_ms: u64) -> Option<bool> {
        let period = self.period_at(now_ms).filter(|period| self.measured(*period).contains(&now_ms))?;
        let ttl = self.ttl_ms(self.arm(bucket, period));
        if ttl != self.shortest_ms() || self.shortest_ms() == self.longest_ms() {
            return None;
        }
        let tolerated = (ttl as f64 * CLOCKS_SHARE) as u64;
        Some(expires_ms > now_ms + ttl + tolerated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(control_ttl_ms: u64, treated_ttl_ms: u64, period_ms: u64) -> Assignment {
        let salt = "s".to_owned();
        Assignment {
            salt,
            buckets: 400,
            control_ttl_ms,
            treated_ttl_ms,
            start_ms: 1_000_000,
            period_ms,
            until_ms: 1_000_000 + 4 * period_ms,
        }
    }

    #[test]
    fn buckets_are_those_of_the_published_vectors() {
        let check = |salt: &str, user: &[u8], expected: u32| {
            assert_eq!(bucket_of(salt, user, 400), expected, "{salt} {user:?}");
        };
        check("", b"", 338);
        check("s", b"alice", 374);
        check("ttl-2026", b"alice", 398);
        check("ttl-2026", b"1042", 186);
        check("ttl-2026", "Zoë".as_bytes(), 92);
        check("ttl-2026", &[b'x'; 300], 396);
    }

    #[test]
    fn arms_are_swapped_each_period() {
        let seen = assignment(10_000, 20_000, 200_000);
        for bucket in [0, 199, 200, 399] {
            let arms: Vec<Arm> = (0..4).map(|period| seen.arm(bucket, period)).collect();
            assert_eq!(arms[0] == Arm::Control, bucket < 200);
            assert!(arms[0] != arms[1] && arms[0] == arms[2] && arms[1] == arms[3]);
        }
        assert_eq!(seen.periods(), 4);
        assert_eq!(seen.period_at(999_999), None);
        assert_eq!(seen.period_at(1_000_000), Some(0));
        assert_eq!(seen.period_at(1_799_999), Some(3));
        assert_eq!(seen.period_at(1_800_000), None);
    }

    #[test]
    fn measured_parts_are_whole_cycles_of_both_ttls() {
        let check = |control: u64, treated: u64, period: u64, cycles: u64| {
            let seen = assignment(control, treated, period);
            assert_eq!(seen.measured_ms(), cycles * control.max(treated), "{control} {treated} {period}");
            assert!(cycles == 0 || seen.measured(3).end <= seen.until_ms);
            assert!(seen.measured(0).start > seen.start_ms + seen.longest_ms());
        };
        check(10_000, 20_000, 200_000, 8);
        check(10_000, 15_000, 150_000, 7);
        check(15_000, 10_000, 140_000, 7);
        check(10_000, 10_000, 80_000, 6);
        // Too short for four of them.
        check(10_000, 20_000, 90_000, 0);
        check(10_000, 20_000, 10_000, 0);
    }

    #[test]
    fn fills_near_the_ends_count_less() {
        let seen = assignment(10_000, 20_000, 200_000);
        let measured = seen.measured(1);
        let check = |filled_ms: u64, expected: f64| {
            assert!((seen.weight(1, filled_ms) - expected).abs() < 0.01, "{filled_ms}");
        };
        check(measured.start, 0.0);
        check(measured.start + 5_000, 0.25);
        check(measured.start + 20_000, 1.0);
        check(measured.end - 20_000, 1.0);
        check(measured.end - 10_000, 0.5);
    }

    #[test]
    fn entries_tell_when_they_were_written() {
        let seen = assignment(10_000, 20_000, 200_000);
        let (first, second) = (seen.measured(0), seen.measured(1));
        // Bucket 0 is the control in the first period, and treated in the second.
        assert_eq!(seen.filled_at(0, first.start + 10_000), Some((0, first.start)));
        assert_eq!(seen.filled_at(0, first.start + 9_999), None);
        assert_eq!(seen.filled_at(0, second.start + 20_000), Some((1, second.start)));
        assert_eq!(seen.filled_at(399, first.start + 20_000), Some((0, first.start)));
        assert_eq!(seen.filled_at(0, 5), None);
        // Too long for the control.
        let now = first.start + 5_000;
        assert_eq!(seen.is_impossible(0, now + 10_000, now), Some(false));
        assert_eq!(seen.is_impossible(0, now + 19_000, now), Some(true));
        assert_eq!(seen.is_impossible(399, now + 19_000, now), None);
        assert_eq!(seen.is_impossible(0, now + 19_000, first.start - 1), None);
    }
}
