//! Validates a received quantile sketch before the library reads it: the library trusts every number, and ends the
//! process on impossible ones. Only the format that keysweep writes is accepted, with numbers that a run can reach.

/// Bins of one half of a sketch, as the library keeps them.
const BINS_MAX: u64 = 2_048;

/// The bin farthest from 1: beyond the largest number, at one percent per bin.
const INDEX_MAX: u64 = 1 << 16;

/// Values in one sketch.
const COUNT_MAX: f64 = (1_u64 << 40) as f64;

/// The sketch is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidSketch;

/// Accepts or rejects `bytes`.
pub(super) fn check(bytes: &[u8]) -> Result<(), InvalidSketch> {
    let mut input = Input(bytes);
    // Each part at most once.
    let mut seen = Vec::new();
    while let Some(flag) = input.byte() {
        if seen.contains(&flag) {
            return Err(InvalidSketch);
        }
        seen.push(flag);
        match flag {
            // All values, and the zeros.
            0xa0 | 0x04 => drop(input.count().ok_or(InvalidSketch)?),
            // Sum, smallest and largest.
            0x84 | 0x88 | 0x8c if input.number().is_some_and(f64::is_finite) => {}
            // The index mapping.
            0x02 => {
                let (base, shift) = (input.number(), input.number());
                let good = base.is_some_and(|base| base > 1.0 && base < 2.0) && shift == Some(0.0);
                if !good {
                    return Err(InvalidSketch);
                }
            }
            // Bins of the positive and of the negative half: the distance from the previous bin, and the number of
            // values.
            0x05 | 0x07 => bins(&mut input).ok_or(InvalidSketch)?,
            _ => return Err(InvalidSketch),
        }
    }
    // The index mapping is mandatory.
    if seen.contains(&0x02) { Ok(()) } else { Err(InvalidSketch) }
}

fn bins(input: &mut Input<'_>) -> Option<()> {
    let (mut index, mut all) = (0_i64, 0.0);
    for _ in 0..input.whole().filter(|bins| *bins <= BINS_MAX)? {
        let step = input.whole()?;
        let step = (step >> 1).cast_signed() ^ -(step & 1).cast_signed();
        index = index.checked_add(step).filter(|index| index.unsigned_abs() <= INDEX_MAX)?;
        all += input.count()?;
    }
    (all <= COUNT_MAX).then_some(())
}

/// The rest of the input.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    /// An integer in groups of seven bits, the lowest first; the ninth byte is full.
    fn whole(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..=56).step_by(7) {
            let next = u64::from(self.byte()?);
            if next < 0x80 || shift == 56 {
                return Some(value | next << shift);
            }
            value |= (next & 0x7f) << shift;
        }
        None
    }

    /// A number of values: a rotated floating point number in groups of seven bits, the highest first.
    fn count(&mut self) -> Option<f64> {
        let mut bits = 0_u64;
        for shift in (1..=57).rev().step_by(7) {
            let next = u64::from(self.byte()?);
            if shift == 1 {
                bits |= next;
                break;
            }
            bits |= (next & 0x7f) << shift;
            if next < 0x80 {
                break;
            }
        }
        let count = f64::from_bits(bits.rotate_right(6).wrapping_add(f64::to_bits(1.0))) - 1.0;
        (0.0..=COUNT_MAX).contains(&count).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use sketches_ddsketch::{Config, DDSketch};

    use super::*;

    #[test]
    fn valid_sketches_are_accepted_and_impossible_numbers_rejected() {
        let mut sketch = DDSketch::new(Config::defaults());
        assert_eq!(check(&sketch.to_java_bytes()), Ok(()));
        for n in 0..100_000_u64 {
            sketch.add_with_count((n * n) as f64 / 7.0, 1 + n % 3);
        }
        sketch.add_with_count(f64::MAX, 1);
        sketch.add_with_count(f64::MIN_POSITIVE, 1 << 30);
        sketch.add_with_count(-5.0, 1);
        let good = sketch.to_java_bytes();
        assert_eq!(check(&good), Ok(()));
        // Only cuts between two parts are valid.
        let whole = (0..good.len()).filter(|cut| check(&good[..*cut]).is_ok()).count();
        assert!(whole <= 3, "{whole} of {} pieces", good.len());
        let mapping = &DDSketch::new(Config::defaults()).to_java_bytes()[..];
        let check_more = |more: &[u8], expected| {
            assert_eq!(check(&[mapping, more].concat()), expected, "{}", more.escape_ascii());
        };
        // Distant bins, a repeated part, unknown parts, too many bins, an infinite sum.
        check_more(&[0x05, 0], Ok(()));
        check_more(&[0x05, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Err(InvalidSketch));
        check_more(&[0x05, 0, 0x05, 0], Err(InvalidSketch));
        check_more(&[0x09, 1], Err(InvalidSketch));
        check_more(&[0x05, 0xff, 0xff, 0x7f], Err(InvalidSketch));
        check_more(&[0x84, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f], Err(InvalidSketch));
        assert_eq!(check(&[]), Err(InvalidSketch));
    }
}
