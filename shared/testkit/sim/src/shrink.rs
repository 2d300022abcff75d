//! Makes a failing world smaller: leaves out one act after the other, as long as it still fails.

/// The acts that can be left out of `count` so that `fails` is still true.
pub fn shrink(count: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut without = Vec::new();
    // Halves first, then single acts.
    let mut size = count.div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < count {
            let mut more = without.clone();
            more.extend((from..(from + size).min(count)).filter(|act| !without.contains(act)));
            if more.len() > without.len() && fails(&more) {
                without = more;
            }
            from += size;
        }
        if size == 1 {
            return without;
        }
        size /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn only_what_makes_it_fail_is_left() {
        let without = shrink(20, |without| !without.contains(&3) && !without.contains(&17));
        let left: Vec<usize> = (0..20).filter(|act| !without.contains(act)).collect();
        assert_eq!(left, [3, 17]);
    }
}
