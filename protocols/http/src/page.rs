//! Pages of a list that is at hand whole: `limit` entries after the one that `cursor` names.
//!
//! The one idea to know: a cursor is the key of the last entry shown, so that what is made or deleted between two pages
//! neither repeats nor hides anything else. Lists that the broker itself pages do so by name in the same way.

use crate::errors::Problem;
use crate::params::Query;

pub(crate) const DEFAULT_LIMIT: u64 = 100;
/// Large enough for a script to take in one call, small enough to be built at once.
pub(crate) const MAX_LIMIT: u64 = 1000;

/// How many entries a call asks for.
pub(crate) fn limit(query: &Query) -> Result<usize, Problem> {
    Ok(query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize)
}

/// The page of a list that is sorted by `key`, and the cursor of the next one.
pub(crate) fn cut<T>(
    items: impl IntoIterator<Item = T>,
    query: &Query,
    key: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = limit(query)?;
    let after = query.get("cursor")?;
    let mut rest = items.into_iter().filter(|item| after.is_none_or(|after| key(item) > after));
    let page: Vec<T> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let next = page.last().filter(|_| more).map(|item| key(item).to_owned());
    Ok((page, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_whatever_is_deleted() {
        let query = |text: &str| Query::parse(text, &["limit", "cursor"]).unwrap();
        let page =
            |names: &[&'static str], text: &str| cut(names.to_vec(), &query(text), |name| name).unwrap();
        assert_eq!(page(&["a", "b", "c"], "limit=2"), (vec!["a", "b"], Some("b".to_owned())));
        assert_eq!(page(&["a", "c"], "limit=2&cursor=b"), (vec!["c"], None));
        assert_eq!(page(&["a", "b"], "limit=2"), (vec!["a", "b"], None), "no empty page at the end");
        assert_eq!(page(&[], ""), (vec![], None));
        assert!(limit(&query("limit=0")).is_err() && limit(&query("limit=1001")).is_err());
    }
}
