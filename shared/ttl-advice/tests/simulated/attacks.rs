//! Applications that the estimator was not made with. To some the model does not fit; then the advice must be refused, or
//! its intervals must hold all the same.

use crate::application::Application;
use crate::popularity::Popularity;
use crate::requests::Requests;

/// An application, and how many of its keys are looked at.
pub struct Attack {
    pub name: &'static str,
    pub application: Application,
    pub sample: usize,
    /// A limit that the documentation names: numbers are wrong, and nothing that is seen shows it.
    pub is_beyond: bool,
}

const SAMPLE: usize = 2_000;

fn attack(name: &'static str, application: Application) -> Attack {
    Attack { name, application, sample: SAMPLE, is_beyond: false }
}

/// All of them.
pub fn attacks() -> Vec<Attack> {
    [popularities(), patterns(), changes(), entries(), samples(), held_out()].into_iter().flatten().collect()
}

/// Applications that were tried only after the last change, so that nothing was chosen by them.
fn held_out() -> Vec<Attack> {
    let base = Application::default();
    let of = |requests: Requests, rate: f64| Application { requests, rate, ..base };
    let with = |application: Application, popularity: Popularity| Application { popularity, ..application };
    let fashion = of(Requests::Fashion { lasts: 1.5 }, 6.0);
    let sessions = of(Requests::Sessions { size: 3, gap: 0.02 }, 1.0);
    let daily = Requests::Daily { period: 48.0, amplitude: 0.8, peak: 20.0 };
    vec![
        attack("held out: Weibull 2, rates 1.0", of(Requests::Weibull { shape: 2.0, mean: 0.886_227 }, 1.0))
            .with(Popularity::LogNormal(1.0)),
        attack("held out: sessions of 3", sessions),
        attack("held out: sessions of 8", of(Requests::Sessions { size: 8, gap: 0.01 }, 2.0)),
        attack("held out: keys live for 1.5 T, 6 per T", fashion),
        attack(
            "held out: rates very far apart",
            with(of(Requests::Poisson, 0.05), Popularity::LogNormal(2.5)),
        ),
        attack("held out: Zipf 1, 3,000 keys", base)
            .with(Popularity::Zipf { exponent: 1.0, catalogue: 3_000 }),
        attack("held out: heavy-tailed gaps (1.2)", of(Requests::HeavyTailed { exponent: 1.2 }, 0.5)),
        attack("held out: daily, amplitude 0.8", of(daily, 0.3)),
        attack("held out: sessions, deletions of 40 %", Application { deleted: 0.4, ..sessions }),
        attack(
            "held out: 10 % other misses, stampedes",
            Application { other_misses: 0.1, loads_for: 0.005, ..base },
        ),
        attack("held out: sessions, jitter of 2 %", Application { jitter: 0.02, ..sessions }),
        attack(
            "held out: keys live for 3 T, TTL of 20 s",
            Application { ttl_ms: 20_000, ..of(Requests::Fashion { lasts: 3.0 }, 1.0) },
        ),
        attack(
            "held out: half one-hit keys, 10 % of 0.3 T",
            Application { other_ttl: 0.3, other_ttl_keys: 0.1, ..of(Requests::Once { share: 0.5 }, 0.5) },
        ),
    ]
}

/// Independent requests, with other distributions of rates.
fn popularities() -> Vec<Attack> {
    let of = |rate: f64, popularity: Popularity| Application { rate, popularity, ..Application::default() };
    vec![
        attack("gamma rates, shape 0.3", of(1.0, Popularity::Gamma(0.3))),
        attack("gamma rates, shape 3", of(2.0, Popularity::Gamma(3.0))),
        attack("Pareto rates, exponent 1.1", of(0.1, Popularity::Pareto(1.1))),
        attack("two classes, 0.05 and 5", of(0.05, Popularity::TwoClasses { share: 0.1, factor: 100.0 })),
        attack("two classes, 0.5 and 3", of(0.5, Popularity::TwoClasses { share: 0.5, factor: 6.0 })),
        attack("Zipf 0.8, 10,000 keys", of(0.1, Popularity::Zipf { exponent: 0.8, catalogue: 10_000 })),
        attack("Zipf 1.2, 10,000 keys", of(0.02, Popularity::Zipf { exponent: 1.2, catalogue: 10_000 })),
        attack("hit rate near 0", of(0.01, Popularity::LogNormal(1.0))),
        attack("hit rate near 1", of(30.0, Popularity::LogNormal(0.5))),
        attack(
            "one-hit keys, and few hot ones",
            Application { requests: Requests::Once { share: 0.99 }, rate: 20.0, ..Application::default() },
        ),
        attack(
            "one-hit keys, and one of 10,000 very hot",
            Application {
                requests: Requests::Once { share: 0.9999 },
                rate: 2_000.0,
                ..Application::default()
            },
        ),
        attack(
            "one-hit keys for 9 of 10",
            Application { requests: Requests::Once { share: 0.9 }, rate: 1.0, ..Application::default() },
        ),
    ]
}

/// Requests that depend on each other.
fn patterns() -> Vec<Attack> {
    let every = |period: f64, jitter: f64| Application {
        rate: 1.0 / period,
        popularity: Popularity::LogNormal(0.0),
        requests: Requests::Periodic { jitter },
        ..Application::default()
    };
    let base = Application::default();
    vec![
        attack("each key every T/2", every(0.5, 0.01)),
        attack("each key every 0.9 T", every(0.9, 0.01)),
        attack("each key every 1.1 T", every(1.1, 0.01)).beyond(),
        attack("each key every 1.5 T", every(1.5, 0.01)).beyond(),
        attack("each key every 1.5 T, ± 20 %", every(1.5, 0.2)).beyond(),
        attack("periods of 0.1 T to 10 T", Application { rate: 1.0, ..every(1.0, 0.01) })
            .with(Popularity::LogNormal(1.2)),
        attack(
            "heavy-tailed gaps (1.5)",
            Application { requests: Requests::HeavyTailed { exponent: 1.5 }, ..base },
        ),
        attack(
            "Weibull 3",
            Application { requests: Requests::Weibull { shape: 3.0, mean: 0.892_980 }, ..base },
        ),
        attack(
            "Weibull 0.4",
            Application { requests: Requests::Weibull { shape: 0.4, mean: 3.323_351 }, ..base },
        ),
        attack(
            "sessions of 5 over T/2",
            Application { requests: Requests::Sessions { size: 5, gap: 0.1 }, rate: 1.5, ..base },
        ),
        attack(
            "sessions of 20 over T",
            Application { requests: Requests::Sessions { size: 20, gap: 0.05 }, rate: 2.0, ..base },
        ),
        attack(
            "job, 20 % of keys, every T/2",
            Application { requests: Requests::Batch { share: 0.2, every: 0.5 }, ..base },
        ),
        attack(
            "job, 5 % of keys, every 1.5 T",
            Application { requests: Requests::Batch { share: 0.05, every: 1.5 }, ..base },
        ),
        attack("several clients miss at once (T/100)", Application { loads_for: 0.01, rate: 4.0, ..base }),
        attack("several clients miss at once (T/1000)", Application { loads_for: 0.001, rate: 4.0, ..base }),
    ]
}

/// Traffic that is not the same all the time.
fn changes() -> Vec<Attack> {
    let fashion = |lasts: f64, rate: f64| Application {
        requests: Requests::Fashion { lasts },
        rate,
        popularity: Popularity::LogNormal(1.0),
        ..Application::default()
    };
    let crowd = |begin: f64, lasts: f64, factor: f64| Application {
        requests: Requests::Crowd { begin, lasts, factor },
        ..Application::default()
    };
    vec![
        attack("keys live for 0.3 T, 6 per T", fashion(0.3, 6.0)),
        attack("keys live for 0.5 T, 2 per T", fashion(0.5, 2.0)),
        attack("keys live for 0.5 T, 4 per T", fashion(0.5, 4.0)),
        attack("keys live for 0.7 T, 8 per T", fashion(0.7, 8.0)),
        attack("keys live for 1 T, 4 per T", fashion(1.0, 4.0)),
        attack(
            "keys live for 2 T, 2 per T, looks end after 0.7 T",
            Application { last_look: 0.7, ..fashion(2.0, 2.0) },
        ),
        attack("keys live for 2 T, 2 per T", fashion(2.0, 2.0)),
        attack("keys live for 10 T, 1 per T", fashion(10.0, 1.0)),
        attack("crowd, 5 times for 0.2 T, at the end", crowd(23.8, 0.2, 5.0)),
        attack("crowd, 5 times for 0.3 T, before", crowd(23.2, 0.3, 5.0)),
        attack("crowd, 2 times for 1 T, after", crowd(24.5, 1.0, 2.0)),
    ]
}

/// Entries that do not live for the stated TTL, and counters of others.
fn entries() -> Vec<Attack> {
    let base = Application::default();
    let other = |other_ttl: f64, other_ttl_keys: f64| Application { other_ttl, other_ttl_keys, ..base };
    let purge = |purged: f64, purged_after: f64| Application { purged, purged_after, ..base };
    vec![
        attack("jitter of 1 %", Application { jitter: 0.01, ..base }),
        attack("jitter of 3 %", Application { jitter: 0.03, ..base }),
        attack("jitter of 10 %", Application { jitter: 0.1, ..base }),
        attack("a third with 0.9 T", other(0.9, 1.0 / 3.0)),
        attack("a third with 0.7 T", other(0.7, 1.0 / 3.0)),
        attack("5 % with 0.5 T", other(0.5, 0.05)),
        attack("5 % with 0.1 T", other(0.1, 0.05)),
        attack("30 % purged 0.5 T before", purge(0.3, -0.5)),
        attack("30 % purged 0.3 T after", purge(0.3, 0.3)),
        attack("10 % purged 0.5 T before", purge(0.1, -0.5)),
        attack("deletions, half of the keys", Application { deleted: 1.0, deleted_keys: 0.5, ..base }),
        attack("deletions, a tenth of the keys", Application { deleted: 3.0, deleted_keys: 0.1, ..base }),
        attack("refreshed in the last 20 %", Application { renewed: 0.2, ..base }),
        attack("refreshed in the last 5 %", Application { renewed: 0.05, ..base }),
        attack("sliding, few requests", Application { renewed: 1.0, rate: 0.1, ..base })
            .with(Popularity::LogNormal(0.5)),
        attack("evicted after 0.9 T", Application { evicted_after: 0.9, ..base }),
        attack("evicted after 0.97 T", Application { evicted_after: 0.97, ..base }),
        attack("20 % of misses are of other keys", Application { other_misses: 0.2, ..base }),
        attack("40 % of misses are of other keys", Application { other_misses: 0.4, ..base }),
    ]
}

/// Small samples, samples of a part of the keys, and TTLs of seconds and weeks.
fn samples() -> Vec<Attack> {
    let base = Application::default();
    let sessions = Application { requests: Requests::Sessions { size: 5, gap: 0.005 }, rate: 1.5, ..base };
    let small = |name: &'static str, application: Application| Attack {
        name,
        application,
        sample: 500,
        is_beyond: false,
    };
    vec![
        attack("one of 10 keys is looked at", Application { looked_at: 0.1, ..base }),
        small("500 keys", base),
        small("500 keys, one of 10 is looked at", Application { looked_at: 0.1, ..base }),
        small("500 keys, sessions, one of 10", Application { looked_at: 0.1, ..sessions }),
        Attack {
            sample: 600,
            ..small("600 keys, of which 60 % are followed", Application { followed: 0.6, ..base })
        },
        small("500 keys, early deletions of 30 %", Application { deleted: 0.3, ..base }),
        attack("5 keys of a user together", Application { together: 5, ..base }),
        attack("20 keys of a user together", Application { together: 20, ..base }),
        attack("5 together, one of 10 is looked at", Application { together: 5, looked_at: 0.1, ..base }),
        attack("TTL of 2 s", Application { ttl_ms: 2_000, ..base }),
        attack("TTL of 5 s", Application { ttl_ms: 5_000, ..base }),
        attack("TTL of 5 s, sessions", Application { ttl_ms: 5_000, ..sessions }),
        attack("TTL of 30 days", Application { ttl_ms: 30 * 86_400_000, ..base }),
        attack("looks end after 1.1 T", Application { last_look: 1.1, ..base }),
        attack("looks end after 0.7 T", Application { last_look: 0.7, ..base }),
        attack(
            "looks end after 1.1 T, regular",
            Application {
                last_look: 1.1,
                requests: Requests::Weibull { shape: 1.5, mean: 0.902_745 },
                ..base
            },
        ),
        attack("looks end after 1.1 T, sessions", Application { last_look: 1.1, ..sessions }),
    ]
}

impl Attack {
    fn beyond(mut self) -> Self {
        self.is_beyond = true;
        self
    }

    fn with(mut self, popularity: Popularity) -> Self {
        self.application.popularity = popularity;
        self
    }
}
