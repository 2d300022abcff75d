//! A controller with a simulated server: works, pauses and is probed, all in simulated time.

use super::*;

/// A server that does one thing after the other.
struct Server {
    /// What a probe takes by itself.
    base: Duration,
    /// What one key costs.
    per_key: Duration,
    /// The share of probes that are late for other reasons.
    noise: f64,
}

/// The result of a simulation.
struct Outcome {
    /// The share of late probes.
    late: f64,
    /// The mean share of the node's time.
    share: f64,
    /// The least and the most pause.
    pauses: (Duration, Duration),
    keys: u64,
}

const BUDGET: Duration = Duration::from_millis(1);

fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

impl Server {
    fn fair(per_key_ns: u64) -> Self {
        Self { base: micros(150), per_key: Duration::from_nanos(per_key_ns), noise: 0.0 }
    }

    fn probe(&self, rng: &mut fastrand::Rng, busy: Duration) -> Duration {
        let noise = if rng.f64() < self.noise { micros(5_000) } else { Duration::ZERO };
        self.base + micros(rng.u64(0..100)) + busy + noise
    }

    fn controller(&self, rng: &mut fastrand::Rng) -> Controller {
        let before: Vec<Duration> = (0..20).map(|_| self.probe(rng, Duration::ZERO)).collect();
        Controller::new(BUDGET, &before)
    }

    /// Lets `controller` work from `from` for `length`.
    fn work(
        &self,
        controller: &mut Controller,
        rng: &mut fastrand::Rng,
        (from, length): (Duration, Duration),
    ) -> Outcome {
        let (mut now, end) = (from, from + length);
        let (mut next_probe, mut probes, mut late, mut shares) = (now, 0_u32, 0_u32, 0.0);
        let mut outcome = Outcome { late: 0.0, share: 0.0, pauses: (Duration::MAX, Duration::ZERO), keys: 0 };
        while now < end {
            let keys = controller.window_keys(WorkKind::Reads);
            let took = self.per_key * u32::try_from(keys).unwrap();
            controller.worked(WorkKind::Reads, took, keys);
            let pause = controller.pause(took);
            let (idle, next) = (now + took, now + took + pause);
            while next_probe < next {
                let busy = idle.saturating_sub(next_probe);
                let took = self.probe(rng, busy);
                let seen = controller.observe(next_probe, took, busy.is_zero());
                late += u32::from(seen != ProbeVerdict::InTime);
                probes += 1;
                shares += controller.duty_cycle();
                next_probe += took + micros(rng.u64(2_500..3_500));
            }
            outcome.keys += keys;
            outcome.pauses = (outcome.pauses.0.min(pause), outcome.pauses.1.max(pause));
            now = next;
        }
        outcome.late = f64::from(late) / f64::from(probes);
        outcome.share = shares / f64::from(probes);
        outcome
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_share_settles_where_one_probe_of_a_hundred_is_late() {
    // The smallest writes take a little more than the budget, or far more.
    for per_key_ns in [64_800, 66_000, 400_000] {
        let (server, mut rng) = (Server::fair(per_key_ns), fastrand::Rng::with_seed(per_key_ns));
        let mut controller = server.controller(&mut rng);
        server.work(&mut controller, &mut rng, (seconds(0), seconds(5)));
        let settled = server.work(&mut controller, &mut rng, (seconds(5), seconds(300)));
        println!("{per_key_ns} ns: late {:.4}, share {:.3}", settled.late, settled.share);
        // If the smallest writes at the smallest share are late already, the controller cannot help.
        let floor = per_key_ns == 400_000;
        assert!(floor || (0.004..0.015).contains(&settled.late), "{per_key_ns} ns: {}", settled.late);
        assert!(settled.share >= DUTY_CYCLE_MIN && settled.share < 0.8);
        assert!(!floor || settled.share < DUTY_CYCLE_MIN * 1.5, "{}", settled.share);
    }
}

#[test]
fn a_fast_server_is_used_at_full_speed() {
    let (server, mut rng) = (Server::fair(250), fastrand::Rng::with_seed(2));
    let mut controller = server.controller(&mut rng);
    server.work(&mut controller, &mut rng, (seconds(0), seconds(2)));
    let settled = server.work(&mut controller, &mut rng, (seconds(2), seconds(10)));
    assert_eq!((settled.late, settled.share), (0.0, 1.0));
    assert_eq!(controller.window_keys(WorkKind::Reads), WINDOW_KEYS, "less than a fifth of the budget");
    assert_eq!(settled.pauses, (Duration::ZERO, Duration::ZERO));
}

#[test]
fn noise_does_not_lower_the_share() {
    for noise in [0.005, 0.01, 0.03, 0.08] {
        let (server, mut rng) = (Server { noise, ..Server::fair(500) }, fastrand::Rng::with_seed(3));
        let mut controller = server.controller(&mut rng);
        server.work(&mut controller, &mut rng, (seconds(0), seconds(10)));
        let settled = server.work(&mut controller, &mut rng, (seconds(10), seconds(100)));
        println!("noise {noise}: late {:.4}, share {:.3}", settled.late, settled.share);
        assert!(settled.share > 0.3, "noise {noise}: {}", settled.share);
    }
}

#[test]
fn noise_does_not_hide_our_own_late_probes() {
    let (server, mut rng) = (Server { noise: 0.03, ..Server::fair(66_000) }, fastrand::Rng::with_seed(4));
    let mut controller = server.controller(&mut rng);
    server.work(&mut controller, &mut rng, (seconds(0), seconds(10)));
    let settled = server.work(&mut controller, &mut rng, (seconds(10), seconds(300)));
    println!("late {:.4}, share {:.3}", settled.late, settled.share);
    assert!((0.025..0.055).contains(&settled.late), "{}", settled.late);
}

#[test]
fn the_share_follows_a_changing_load() {
    let (calm, mut rng) = (Server::fair(250), fastrand::Rng::with_seed(5));
    // Under load, the same keys wait behind the application's commands.
    let loaded = Server::fair(66_000);
    let mut controller = calm.controller(&mut rng);
    let before = calm.work(&mut controller, &mut rng, (seconds(0), seconds(5)));
    let under_load = loaded.work(&mut controller, &mut rng, (seconds(5), seconds(5)));
    let settled = loaded.work(&mut controller, &mut rng, (seconds(10), seconds(60)));
    calm.work(&mut controller, &mut rng, (seconds(70), seconds(3)));
    let after = calm.work(&mut controller, &mut rng, (seconds(73), seconds(5)));
    assert!(before.share > 0.8 && after.share > 0.95, "{} {}", before.share, after.share);
    assert!(under_load.share < 0.5, "{}", under_load.share);
    assert!(settled.late < 0.015 && settled.keys > 0, "{}", settled.late);
}

#[test]
fn a_node_that_answers_no_probe_is_used_at_the_minimum() {
    let mut controller = Controller::new(BUDGET, &[micros(100)]);
    let mut now = Duration::ZERO;
    for _ in 0..100 {
        controller.observe(now, seconds(1), false);
        now += seconds(1);
    }
    assert_eq!(controller.duty_cycle(), DUTY_CYCLE_MIN);
    // And not for ever.
    for _ in 0..1_000 {
        controller.observe(now, micros(100), false);
        now += micros(3_000);
    }
    assert_eq!(controller.duty_cycle(), 1.0);
}

#[test]
fn a_write_takes_a_fifth_of_the_budget_at_any_duty_cycle() {
    let check = |key_ns: u64, expected: u64| {
        let mut controller = Controller::new(BUDGET, &[micros(100)]);
        for _ in 0..500 {
            controller.worked(WorkKind::Acts, Duration::from_nanos(key_ns * 100), 100);
            controller.worked(WorkKind::Reads, micros(1), 1_000);
        }
        for n in 0..100 {
            controller.observe(seconds(n), seconds(1), false);
        }
        assert_eq!(controller.duty_cycle(), DUTY_CYCLE_MIN);
        let keys = [controller.window_keys(WorkKind::Acts), controller.window_keys(WorkKind::Reads)];
        assert_eq!(keys, [expected, WINDOW_KEYS], "{key_ns} ns");
    };
    assert_eq!(BUDGET, micros(1_000));
    check(2_000, 100);
    check(100, WINDOW_KEYS);
    check(100_000, WINDOW_KEYS_MIN);
}

#[test]
fn pauses_are_bounded_and_none_at_full_speed() {
    let mut controller = Controller::new(BUDGET, &[]);
    assert_eq!(controller.baseline(), Duration::ZERO, "nothing was measured");
    assert!(controller.pause(micros(1_000)) > micros(2_000));
    for took in [Duration::ZERO, micros(1), seconds(10), Duration::MAX / 100] {
        assert!(controller.pause(took) <= PAUSE_MAX, "{took:?}");
    }
    for n in 0..1_000 {
        controller.observe(micros(n), Duration::ZERO, true);
    }
    assert_eq!(controller.pause(seconds(10)), Duration::ZERO);
}

#[test]
fn late_probes_of_one_moment_count_once() {
    let mut controller = Controller::new(BUDGET, &[micros(100)]);
    let late = seconds(1);
    let seen: Vec<ProbeVerdict> =
        [0, 3, 6, 30].iter().map(|at| controller.observe(Duration::from_millis(*at), late, false)).collect();
    assert_eq!(seen, [ProbeVerdict::Halved, ProbeVerdict::Late, ProbeVerdict::Late, ProbeVerdict::Halved]);
}
