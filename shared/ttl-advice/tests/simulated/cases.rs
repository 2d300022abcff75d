//! The applications of the tests.

use crate::application::Application;
use crate::popularity::Popularity;
use crate::requests::Requests;

/// Applications to which the model fits, with names.
pub fn good() -> Vec<(&'static str, Application)> {
    let base = Application::default();
    let sessions = Requests::Sessions { size: 5, gap: 0.005 };
    let daily = |peak: f64| Requests::Daily { period: 96.0, amplitude: 0.5, peak };
    vec![
        ("Poisson", base),
        ("Poisson, few requests", Application { rate: 0.1, ..base }),
        ("Poisson, many requests", Application { rate: 4.0, popularity: Popularity::LogNormal(1.0), ..base }),
        (
            "Poisson, rates far apart",
            Application { rate: 0.2, popularity: Popularity::LogNormal(2.2), ..base },
        ),
        ("Poisson, equal rates", Application { rate: 1.0, popularity: Popularity::LogNormal(0.0), ..base }),
        ("Poisson, TTL of 3 s", Application { ttl_ms: 3_000, ..base }),
        (
            "bursts (Weibull, 0.6)",
            Application { requests: Requests::Weibull { shape: 0.6, mean: 1.504_575 }, ..base },
        ),
        (
            "regular (Weibull, 1.5)",
            Application { requests: Requests::Weibull { shape: 1.5, mean: 0.902_745 }, ..base },
        ),
        ("sessions of 5", Application { requests: sessions, rate: 1.5, ..base }),
        (
            "half sessions",
            Application { requests: Requests::Mixed { size: 5, gap: 0.005 }, rate: 1.0, ..base },
        ),
        ("daily, at the peak", Application { requests: daily(22.5), ..base }),
        ("daily, steepest rise", Application { requests: daily(46.5), ..base }),
        ("few early deletions", Application { deleted: 0.1, ..base }),
        ("early deletions", Application { deleted: 0.7, ..base }),
    ]
}

/// Applications whose keys share the counters of a server with those of [`good`], with names.
pub fn others() -> [(&'static str, Application); 2] {
    let popularity = Popularity::LogNormal(1.0);
    [
        ("beside hits", Application { rate: 6.0, popularity, ..Application::default() }),
        ("beside misses", Application { rate: 0.05, popularity, ..Application::default() }),
    ]
}
