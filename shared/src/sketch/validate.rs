//! What a sketch of percentiles that somebody sent has to look like before the library reads it: that one takes every
//! number in it as true, and ends the process where they cannot be. Only the form in which ours are written is let
//! through, with numbers that no run can exceed.

/// Bins of one half of a sketch, as the library keeps them.
const BINS_MAX: u64 = 2_048;

/// The farthest bin from 1: beyond the largest number there is, at one percent a bin.
const INDEX_MAX: u64 = 1 << 16;

/// Values in one sketch.
const COUNT_MAX: f64 = (1_u64 << 40) as f64;

/// Why it is not let through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidSketch;

/// Lets `bytes` through, or does not.
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
            // All values, and those that are zero.
            0xa0 | 0x04 => drop(input.count().ok_or(InvalidSketch)?),
            // Sum, smallest and largest.
            0x84 | 0x88 | 0x8c if input.number().is_some_and(f64::is_finite) => {}
            // How bins are numbered.
            0x02 => {
                let (base, shift) = (input.number(), input.number());
                let good = base.is_some_and(|base| base > 1.0 && base < 2.0) && shift == Some(0.0);
                if !good {
                    return Err(InvalidSketch);
                }
            }
            // Bins of the positive and of the negative half: how far on from the one before, and how many values.
            0x05 | 0x07 => bins(&mut input).ok_or(InvalidSketch)?,
            _ => return Err(InvalidSketch),
        }
    }
    // The numbering is always told.
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

/// What is left to read.
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

    /// A whole number in groups of seven bits, the lowest first; the ninth byte is full.
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
    fn what_we_write_is_let_through_and_impossible_numbers_are_not() {
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
        // Only between two parts nothing is amiss.
        let whole = (0..good.len()).filter(|cut| check(&good[..*cut]).is_ok()).count();
        assert!(whole <= 3, "{whole} of {} pieces", good.len());
        let mapping = &DDSketch::new(Config::defaults()).to_java_bytes()[..];
        let check_more = |more: &[u8], expected| {
            assert_eq!(check(&[mapping, more].concat()), expected, "{}", more.escape_ascii());
        };
        // Bins that are far away, twice the same part, parts that are unknown, too many bins, an endless sum.
        check_more(&[0x05, 0], Ok(()));
        check_more(&[0x05, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Err(InvalidSketch));
        check_more(&[0x05, 0, 0x05, 0], Err(InvalidSketch));
        check_more(&[0x09, 1], Err(InvalidSketch));
        check_more(&[0x05, 0xff, 0xff, 0x7f], Err(InvalidSketch));
        check_more(&[0x84, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f], Err(InvalidSketch));
        assert_eq!(check(&[]), Err(InvalidSketch));
    }
}
