//! Groups that lose users are found, and others are not suspected.

use fastrand::Rng;
use keysweep_ttl_experiment::limits::USERS_ALPHA;
use keysweep_ttl_experiment::{SeenUsers, ln_bayes_factor};

use crate::trials::{seeds, share};

/// Whether the groups are ever found uneven, of users, some of which the first group loses; looked at after each 500 users.
fn is_found(users: u32, lost: f64, seed: u64) -> bool {
    let (mut rng, mut seen) = (Rng::with_seed(seed), SeenUsers::default());
    (0..users).any(|n| {
        let first = rng.bool();
        if !(first && rng.f64() < lost) {
            seen.add(&rng.u64(..).to_le_bytes(), first);
        }
        n % 500 == 499 && ln_bayes_factor(seen.counts(), [0.5, 0.5]) >= -USERS_ALPHA.ln()
    })
}

#[test]
fn lost_users_are_found() {
    for (users, lost, at_least) in [(20_000, 0.1, 0.99), (60_000, 0.08, 0.95), (2_000, 0.3, 0.99)] {
        let found = share(&seeds(100, |seed| is_found(users, lost, seed)), |found| *found);
        println!("| {users} | {:.0} | {:.1} |", lost * 100.0, found * 100.0);
        assert!(found >= at_least, "{users} users, {lost} lost: {found}");
    }
}

#[test]
fn equal_groups_are_rarely_suspected() {
    never_found(100);
}

#[test]
#[ignore = "2,000 sets of 60,000 users take minutes"]
fn soak_equal_groups() {
    never_found(2_000);
}

fn never_found(count: u64) {
    // Beyond the users that are kept, the sample changes from look to look.
    let found = share(&seeds(count, |seed| is_found(60_000, 0.0, seed)), |found| *found);
    println!("| 60000 | 0 | {:.2} |", found * 100.0);
    assert!(found <= 0.002, "{found}");
}
