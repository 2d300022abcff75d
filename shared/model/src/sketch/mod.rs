//! Sketches of very many values in bounded memory, which workers compute and the coordinator merges. They are sent in
//! the formats of their libraries, and validated when they are read.

mod heavy_hitters;
mod heavy_hitters_counter;
mod log_histogram;
mod quantiles;
mod validate;

pub use heavy_hitters::HeavyHitters;
pub use heavy_hitters_counter::HeavyHittersCounter;
pub use log_histogram::LogHistogram;
pub use quantiles::Quantiles;

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::heavy_hitters::HEAVY_COUNTERS;
    use super::*;
    use crate::wire;

    #[test]
    fn percentiles_are_within_one_percent_after_merging_and_travel() {
        let mut values: Vec<f64> = (0..50_000).map(|_| 1.0 + fastrand::f64().powi(8) * 3e9).collect();
        let mut merged = Quantiles::default();
        for part in values.chunks(7_777) {
            let mut sketch = Quantiles::default();
            part.iter().for_each(|value| sketch.add(*value, 1));
            let travelled: Quantiles = wire::decode(&wire::encode(&sketch).unwrap()).unwrap();
            assert_eq!(travelled, sketch);
            merged.merge(&travelled);
        }
        values.sort_by(f64::total_cmp);
        assert_eq!(merged.count(), 50_000);
        for q in [0.5, 0.9, 0.99] {
            let exact = values[(q * 49_999.0) as usize];
            let estimate = merged.quantile(q).unwrap();
            assert!((estimate / exact - 1.0).abs() <= 0.0101, "{q}: {estimate} for {exact}");
        }
        assert_eq!(Quantiles::default().quantile(0.5), None);
        let none: Quantiles = wire::decode(&wire::encode(&Quantiles::default()).unwrap()).unwrap();
        assert_eq!(none.count(), 0);
    }

    #[test]
    fn weights_are_within_their_bound_after_merging_and_travel() {
        let mut merged = HeavyHitters::default();
        let truth = |n: u64| 200_000 / (n + 1);
        for part in 0..10 {
            let mut heavy = HeavyHitters::default();
            for n in 0..20_000 {
                heavy.add(&format!("p{n}:"), truth(n) / 10 + u64::from(part < truth(n) % 10));
            }
            let travelled: HeavyHitters = wire::decode(&wire::encode(&heavy).unwrap()).unwrap();
            assert_eq!(travelled, heavy);
            merged.merge(&travelled);
        }
        let sum: u64 = (0..20_000).map(truth).sum();
        assert_eq!(merged.total(), sum);
        assert!(merged.error_max() <= sum * 4 / HEAVY_COUNTERS as u64, "{} of {sum}", merged.error_max());
        for (n, (name, weight)) in merged.heaviest(10).into_iter().enumerate() {
            assert_eq!(name, format!("p{n}:"));
            let exact = truth(n as u64);
            assert!(weight <= exact && exact <= weight + merged.error_max(), "{name}: {weight} for {exact}");
        }
        let garbage: Result<HeavyHitters, _> =
            wire::decode(&wire::encode(&ByteBuf::from(vec![9; 40])).unwrap());
        assert!(garbage.is_err());
        let garbage: Result<Quantiles, _> = wire::decode(&wire::encode(&ByteBuf::from(vec![9; 40])).unwrap());
        assert!(garbage.is_err());
    }
}
