//! How much each group got of each topic: in the last minute, hour and day.
//!
//! It exists because tools show a consumer's rate beside its lag. The one idea to know: a ring of short spans for each
//! length of time, written when something is counted, so that nothing ticks. Who was silent for longest is forgotten
//! when there are too many.

use parking_lot::Mutex;
use sluice_model::{GroupName, Millis, TopicName};
use std::collections::HashMap;

/// Groups with their topics that are counted: about 800 bytes each.
const MAX_COUNTED: usize = 10_000;

/// Spans of a ring, and how long each is.
const MINUTE: (usize, Millis) = (12, 5_000);
const HOUR: (usize, Millis) = (60, 60_000);
const DAY: (usize, Millis) = (24, 3_600_000);

/// Counts by group and topic.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<(GroupName, TopicName), Counted, foldhash::fast::RandomState>>);

/// How many in the last minute, hour and day.
pub(crate) type Sums = [u64; 3];

#[derive(Debug, Default)]
struct Counted {
    last: Millis,
    minute: Ring<{ MINUTE.0 }>,
    hour: Ring<{ HOUR.0 }>,
    day: Ring<{ DAY.0 }>,
}

/// The number of a span, and how many there were in it.
#[derive(Debug)]
struct Ring<const N: usize>([(u32, u32); N]);

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self([(0, 0); N])
    }
}

impl<const N: usize> Ring<N> {
    fn add(&mut self, count: u32, number: u32) {
        if let Some(slot) = self.0.get_mut(number as usize % N) {
            *slot = if slot.0 == number { (number, slot.1.saturating_add(count)) } else { (number, count) };
        }
    }

    fn sum(&self, number: u32) -> u64 {
        let recent =
            self.0.iter().filter(|(at, _)| number.checked_sub(*at).is_some_and(|age| age < N as u32));
        recent.map(|(_, count)| u64::from(*count)).sum()
    }
}

fn number(now: Millis, (_, length): (usize, Millis)) -> u32 {
    u32::try_from(now / length).unwrap_or(u32::MAX)
}

impl Rates {
    /// A group got so many more messages of a topic.
    pub(crate) fn add(&self, group: &GroupName, topic: &TopicName, count: usize, now: Millis) {
        let mut all = self.0.lock();
        let key = (group.clone(), topic.clone());
        if !all.contains_key(&key) && all.len() >= MAX_COUNTED {
            let silent = all.iter().min_by_key(|(_, counted)| counted.last).map(|(key, _)| key.clone());
            silent.map(|silent| all.remove(&silent));
        }
        let counted = all.entry(key).or_default();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        counted.last = now;
        counted.minute.add(count, number(now, MINUTE));
        counted.hour.add(count, number(now, HOUR));
        counted.day.add(count, number(now, DAY));
    }

    /// How many a group got lately of a topic; nothing when it never got any.
    pub(crate) fn look(&self, group: &GroupName, topic: &TopicName, now: Millis) -> Option<Sums> {
        let all = self.0.lock();
        let counted = all.get(&(group.clone(), topic.clone()))?;
        Some([
            counted.minute.sum(number(now, MINUTE)),
            counted.hour.sum(number(now, HOUR)),
            counted.day.sum(number(now, DAY)),
        ])
    }

    /// Messages a second in the last minute.
    pub(crate) fn per_second(&self, group: &GroupName, topic: &TopicName, now: Millis) -> f64 {
        self.look(group, topic, now).map_or(0.0, |[minute, ..]| minute as f64 / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_leaves_the_shorter_sums_first() {
        let (group, topic) = (GroupName::new("g").unwrap(), TopicName::new("t").unwrap());
        let (rates, start) = (Rates::default(), 1_000 * 86_400_000);
        assert_eq!(rates.look(&group, &topic, start), None);
        rates.add(&group, &topic, 30, start);
        rates.add(&group, &topic, 30, start + 10_000);
        assert_eq!(rates.look(&group, &topic, start + 20_000), Some([60, 60, 60]));
        assert!((rates.per_second(&group, &topic, start + 20_000) - 1.0).abs() < 0.001);
        assert_eq!(rates.look(&group, &topic, start + 62_000), Some([30, 60, 60]));
        assert_eq!(rates.look(&group, &topic, start + 3_700_000), Some([0, 0, 60]));
        assert_eq!(rates.look(&group, &topic, start + 90_000_000), Some([0, 0, 0]));
    }

    #[test]
    fn who_was_silent_for_longest_is_forgotten() {
        let topic = TopicName::new("t").unwrap();
        let rates = Rates::default();
        let group = |n: usize| GroupName::new(format!("g{n}")).unwrap();
        (0..=MAX_COUNTED).for_each(|n| rates.add(&group(n), &topic, 1, n as Millis));
        let now = MAX_COUNTED as Millis;
        assert_eq!(rates.look(&group(0), &topic, now), None);
        assert!(rates.look(&group(1), &topic, now).is_some());
        assert_eq!(rates.0.lock().len(), MAX_COUNTED);
    }
}
