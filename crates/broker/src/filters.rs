//! SQL expressions that were parsed before.
//!
//! Clients say theirs with every heartbeat and many with every request, so the parses are kept. The one idea to know:
//! there are two generations. What is used moves to the younger one, and when that is full the older one is forgotten;
//! so at most twice the limit is kept, without a list of when each was last used.

use parking_lot::Mutex;
use sluice_model::{Dialect, Result, Sql};
use std::collections::HashMap;

type Generation = HashMap<(Dialect, String), Sql, foldhash::fast::RandomState>;

/// The parses of both generations.
#[derive(Debug)]
pub(crate) struct Filters {
    limit: usize,
    generations: Mutex<(Generation, Generation)>,
}

impl Filters {
    /// Keeps `limit` parses or more, and at most twice as many.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), generations: Mutex::default() }
    }

    /// The parse of an expression, made if it is not known.
    pub(crate) fn parsed(&self, text: &str, dialect: Dialect) -> Result<Sql> {
        let key = (dialect, text.to_owned());
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        // Outside the lock: a long expression takes its time. What cannot be parsed is not kept.
        let sql = Sql::parse(text, dialect)?;
        let mut generations = self.generations.lock();
        self.keep(&mut generations, key, sql.clone());
        Ok(sql)
    }

    fn known(&self, key: &(Dialect, String)) -> Option<Sql> {
        let mut generations = self.generations.lock();
        if let Some(sql) = generations.0.get(key) {
            return Some(sql.clone());
        }
        let (key, sql) = generations.1.remove_entry(key)?;
        self.keep(&mut generations, key, sql.clone());
        Some(sql)
    }

    fn keep(&self, generations: &mut (Generation, Generation), key: (Dialect, String), sql: Sql) {
        if generations.0.len() >= self.limit {
            generations.1 = std::mem::take(&mut generations.0);
        }
        generations.0.insert(key, sql);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(filters: &Filters) -> usize {
        let generations = filters.generations.lock();
        generations.0.len() + generations.1.len()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let filters = Filters::new(10);
        let of = |n: u32| filters.parsed(&format!("a = {n}"), Dialect::RocketMq).unwrap();
        let first = of(0);
        for n in 1..1000 {
            of(n);
            assert_eq!(of(0), first);
            assert!(kept(&filters) <= 20);
        }
        assert!(filters.known(&(Dialect::RocketMq, "a = 1".into())).is_none());
        assert!(filters.known(&(Dialect::RocketMq, "a = 0".into())).is_some());
        assert!(filters.known(&(Dialect::Jms, "a = 0".into())).is_none());
        assert!(filters.parsed("a =", Dialect::RocketMq).is_err());
    }
}
