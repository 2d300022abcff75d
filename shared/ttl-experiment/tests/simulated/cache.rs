//! A cache in virtual time: keys that are asked for, filled, and expire. Looks see the expiry of live keys, and nothing else.

use std::collections::HashMap;

use fastrand::Rng;
use keysweep_ttl_experiment::{Arm, Assignment, Decision, Design, Health, Invalid, Look, Observed, standing};

use crate::chance::exponential;

/// How the application uses the experiment.
#[derive(Clone, Copy, PartialEq)]
enum Obeys {
    Yes,
    /// Other users than those of the assignment are treated.
    Otherwise,
    /// All have the TTL of the control.
    Never,
}

struct World {
    assignment: Assignment,
    users: u32,
    /// Mean requests for a key per control TTL.
    requests: f64,
    obeys: Obeys,
    /// The share of the users of the first group who do not come, in percent.
    lost: u32,
    /// Looks per shortest TTL.
    looks: f64,
}

const START: u64 = 1_000_000_000;

fn world(control_ttl_ms: u64, treated_ttl_ms: u64, requests: f64) -> World {
    let period_ms = 14 * control_ttl_ms.max(treated_ttl_ms);
    let assignment = Assignment {
        salt: "cache".to_owned(),
        buckets: 40,
        control_ttl_ms,
        treated_ttl_ms,
        start_ms: START,
        period_ms,
        until_ms: START + 4 * period_ms,
    };
    World { assignment, users: 2_000, requests, obeys: Obeys::Yes, lost: 0, looks: 3.0 }
}

impl World {
    fn ttl(&self, user: u32, at_ms: u64) -> u64 {
        let assignment = &self.assignment;
        let bucket = match self.obeys {
            Obeys::Yes => assignment.bucket(&user.to_le_bytes()),
            Obeys::Otherwise => user % assignment.buckets,
            Obeys::Never => return assignment.control_ttl_ms,
        };
        let arm = assignment.period_at(at_ms).map_or(Arm::Control, |period| assignment.arm(bucket, period));
        assignment.ttl_ms(arm)
    }

    /// Looks from the beginning to the end, and what they found.
    fn run(&self, seed: u64) -> (Observed, Decision, f64) {
        let (mut rng, assignment) = (Rng::with_seed(seed), &self.assignment);
        let gap = assignment.control_ttl_ms as f64 / self.requests;
        // By user: the next request, and the expiry.
        let mut users: Vec<(f64, u64)> =
            (0..self.users).map(|_| ((START as f64 - 4e5) + exponential(&mut rng) * gap, 0)).collect();
        let every = assignment.shortest_ms() as f64 / self.looks;
        let (mut seen, mut now) = (Observed::default(), START as f64);
        while now < (assignment.until_ms + 1) as f64 {
            now += every * (0.8 + 0.4 * rng.f64());
            let mut look = Look::begin(assignment, &seen, now as u64);
            for (user, (next, expires)) in users.iter_mut().enumerate() {
                let is_first = assignment.bucket(&(user as u32).to_le_bytes()) < assignment.middle();
                if is_first && user as u32 % 100 < self.lost {
                    continue;
                }
                while *next < now {
                    let at = *next as u64;
                    if at >= *expires {
                        *expires = at + self.ttl(user as u32, at);
                    }
                    *next += exponential(&mut rng) * gap;
                }
                if *expires > now as u64 {
                    look.add(&(user as u32).to_le_bytes(), user as u64, *expires, now as u64);
                }
            }
            assert_eq!(look.fault(now as u64), None);
            seen.add(look);
        }
        let design =
            Design { assignment: assignment.clone(), margin: 0.0, alpha: 0.05, planned_variance: 1e-3 };
        let found = standing(&design, &seen, &Health::default(), now as u64);
        (seen, found.decision, found.misses.map_or(f64::NAN, |misses| misses.estimate))
    }
}

#[test]
fn the_effect_is_that_of_the_ttls() {
    let check = |control: u64, treated: u64, requests: f64, most: f64| {
        let (seen, _, found) = world(control, treated, requests).run(7);
        // A key is filled once per TTL and the gap after it.
        let gap = control as f64 / requests;
        let expected = (control as f64 + gap) / (treated as f64 + gap);
        println!("| {control} | {treated} | {requests} | {expected:.4} | {found:.4} |");
        assert!(
            (found / expected - 1.0).abs() < most,
            "{control} {treated} {requests}: {found}, not {expected}"
        );
        assert_eq!(seen.periods.len(), 4);
    };
    check(10_000, 20_000, 1.0, 0.03);
    check(10_000, 20_000, 10.0, 0.02);
    check(20_000, 10_000, 3.0, 0.02);
    check(10_000, 15_000, 3.0, 0.02);
    // Keys that are always asked for are filled in the rhythm of their TTL.
    check(10_000, 20_000, 1_000.0, 0.005);
    check(10_000, 15_000, 1_000.0, 0.005);
    check(20_000, 10_000, 1_000.0, 0.005);
}

#[test]
fn every_fill_counts_once() {
    // Looks three times per TTL, and far more often.
    let (few, ..) = world(10_000, 20_000, 2.0).run(3);
    let (many, ..) = World { looks: 20.0, ..world(10_000, 20_000, 2.0) }.run(3);
    let sums = |seen: &Observed| -> HashMap<u64, f64> {
        seen.periods.iter().map(|(period, seen)| (*period, seen.fills.iter().sum::<f64>())).collect()
    };
    let assignment = world(10_000, 20_000, 2.0).assignment;
    for (period, fills) in sums(&few) {
        let other = sums(&many)[&period];
        assert!((fills / other - 1.0).abs() < 0.05, "{fills} {other}");
        // Half of the users have a fill per 10 s + 5 s, half per 20 s + 5 s.
        let expected =
            (assignment.measured_ms() - 20_000) as f64 * 1_000.0 * (1.0 / 15_000.0 + 1.0 / 25_000.0);
        assert!((fills / expected - 1.0).abs() < 0.05, "{fills} {expected}");
        assert!((few.covered(&assignment, period) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn missing_looks_are_known() {
    let mut world = world(10_000, 20_000, 2.0);
    // A look counts half of a TTL, and they are two TTLs apart.
    world.looks = 0.5;
    let (seen, decision, found) = world.run(3);
    let covered = seen.covered(&world.assignment, 1);
    assert!((0.2..0.3).contains(&covered), "{covered}");
    assert!(found.is_nan() && decision == Decision::Undecided, "{found} {decision:?}");
}

#[test]
fn groups_that_lose_users_are_found_after_a_pair_of_periods() {
    let decision = |lost: u32| World { lost, ..world(10_000, 20_000, 5.0) }.run(9).1;
    assert!(matches!(decision(30), Decision::Invalid(Invalid::Users { .. })), "{:?}", decision(30));
    assert!(!matches!(decision(0), Decision::Invalid(_)));
}

#[test]
fn applications_that_do_not_follow_are_found() {
    for (control, treated) in [(10_000, 20_000), (20_000, 10_000)] {
        for obeys in [Obeys::Otherwise, Obeys::Never] {
            let world = World { obeys, ..world(control, treated, 5.0) };
            let (_, decision, _) = world.run(5);
            let expected =
                matches!(decision, Decision::Invalid(Invalid::Ttls { .. } | Invalid::Beyond { .. }));
            assert!(expected, "{control} {treated}: {decision:?}");
        }
    }
    for (control, treated) in [(10_000, 20_000), (20_000, 10_000)] {
        let (_, decision, _) = world(control, treated, 5.0).run(5);
        assert!(!matches!(decision, Decision::Invalid(_)), "{decision:?}");
    }
}
