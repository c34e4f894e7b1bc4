//! "Did you mean …?"

/// The known key that is fewest edits away; `None` if nothing is near.
pub(crate) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let key = comparable(key);
    let (distance, best) = known
        .into_iter()
        .map(|candidate| (distance(&key, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    // More than half of the key wrong is not a slip of the pen.
    (distance <= key.len().div_ceil(2)).then_some(best)
}

/// A wrong separator is the slip to forgive first.
fn comparable(key: &str) -> String {
    key.to_lowercase().replace('-', "_")
}

/// Levenshtein's: insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances_are_edits() {
        for (a, b, edits) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("grace", "grace", 0)] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn slips_are_forgiven_and_nonsense_is_not() {
        let known = ["listen.http", "listen.stomp", "shutdown.grace", "data_dir"];
        assert_eq!(nearest("listen.htpp", known), Some("listen.http"));
        assert_eq!(nearest("listen_http", known), Some("listen.http"));
        assert_eq!(nearest("DATA-DIR", known), Some("data_dir"));
        assert_eq!(nearest("completely.different", known), None);
    }
}
