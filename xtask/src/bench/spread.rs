//! The spread of a figure over the turns (pure).

/// The least, middle and largest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The least value.
    pub(crate) min: f64,
    /// The middle value; of an even number of values, the mean of the two in the middle.
    pub(crate) median: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values` in any order; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { min, median, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let check = |values: &[f64], min, median, max| {
            assert_eq!(Spread::of(values.iter().copied()), Some(Spread { min, median, max }));
        };
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[3.0, 1.0], 1.0, 2.0, 3.0);
        check(&[9.0, -1.0, 2.0], -1.0, 2.0, 9.0);
        check(&[9.0, 4.0, 2.0, 1.0], 1.0, 3.0, 9.0);
        assert_eq!(Spread::of([]), None);
    }
}
