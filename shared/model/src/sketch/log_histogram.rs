//! Counts very many integers for percentiles: by their leading bits, which costs a tenth of computing the logarithm of
//! each.

use super::quantiles::Quantiles;

/// Leading bits that are distinguished: values are off by less than 0.05 %.
const BITS: u32 = 11;

/// Counts of integers by their leading bits.
#[derive(Default)]
pub struct LogHistogram {
    /// Indexed by the number of dropped bits, and then by the remaining bits.
    counts: Vec<u64>,
}

impl LogHistogram {
    /// Adds a value `times` times.
    #[inline]
    pub fn add(&mut self, value: u64, times: u64) {
        let cut = (u64::BITS - value.leading_zeros()).saturating_sub(BITS);
        let place = ((cut as usize) << (BITS - 1)) + (value >> cut) as usize;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += times;
    }

    /// The quantile sketch of all values.
    #[must_use]
    pub fn finish(self) -> Quantiles {
        let mut quantiles = Quantiles::default();
        for (place, times) in self.counts.into_iter().enumerate().filter(|(_, times)| *times > 0) {
            // The leading bit is always set once bits are dropped, so half of the indices suffice.
            let cut = (place >> (BITS - 1)).saturating_sub(1);
            let least = (place - (cut << (BITS - 1))) as f64;
            let middle = if cut > 0 { least + 0.5 } else { least };
            quantiles.add((middle * 2.0_f64.powi(cut as i32)).max(1.0), times);
        }
        quantiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_as_those_of_the_values_themselves() {
        let (mut fine, mut plain) = (LogHistogram::default(), Quantiles::default());
        for _ in 0..20_000 {
            let value = (fastrand::f64().powi(8) * 3e12) as u64;
            fine.add(value, 2);
            plain.add((value as f64).max(1.0), 2);
        }
        for value in [0, 1, 2_047, 2_048, 2_049, u64::MAX] {
            fine.add(value, 1);
            plain.add((value as f64).max(1.0), 1);
        }
        let fine = fine.finish();
        assert_eq!(fine.count(), plain.count());
        for q in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
            let (estimate, expected) = (fine.quantile(q).unwrap(), plain.quantile(q).unwrap());
            // A value at the edge of a bucket may fall into the next one, 2 % away.
            assert!((estimate / expected - 1.0).abs() < 0.0205, "{q}: {estimate} for {expected}");
        }
    }

    #[test]
    fn each_value_round_trips() {
        for value in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) + (1 << bit) / 3]) {
            let mut fine = LogHistogram::default();
            fine.add(value, 1);
            let estimate = fine.finish().quantile(0.5).unwrap();
            assert!((estimate / value as f64 - 1.0).abs() < 0.0106, "{estimate} for {value}");
        }
    }
}
