//! Quotas: how many messages and bytes a second a user, all who have a role together, and all consumers of a group
//! together may send and receive; and how much of it at once, which `places` counts.
//!
//! A bucket for each limit fills at the rate and holds one second's worth. Whoever finds it not empty may go on, and
//! takes out what the request costs even if that is more than there is: so a message larger than a second's worth still
//! passes, and is paid for by waiting afterwards. What was delivered is taken out after the fact in the same way.
//!
//! A user's own buckets and those of all its roles must agree, and for a consumer those of its group. A role's buckets
//! are shared by everyone who has it.
//! Sending and receiving count together; a message counts with its body.

use crate::record::RoleRecord;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sluice_model::units::ByteSize;
use sluice_model::{Error, ErrorKind, GroupName, Millis, Result};
use std::fmt;

/// Limits; what is left out is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Bytes of bodies a second, like `1MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<ByteSize>,
    /// Messages a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<u64>,
    /// Connections at once; of a group, those that consume in it. A connection that carries requests of several users, a
    /// proxy's, counts for none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests to send or receive at once, those that wait for messages included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
}

/// The quota of a consumer group, as an operator writes it: all of its consumers together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupQuotaSpec {
    /// The group's name; it need not exist yet.
    pub group: String,
    /// How much it may receive; an empty one takes limits away.
    pub quota: Quota,
}

impl GroupQuotaSpec {
    pub(crate) fn check(&self) -> Result<()> {
        GroupName::new(self.group.as_str())?;
        self.quota.check()
    }
}

/// The quota of a consumer group as it is remembered, and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RoleRecord", into = "RoleRecord")]
pub struct GroupQuota {
    /// The group's name.
    pub group: String,
    /// How much all of its consumers may receive together.
    pub quota: Quota,
    /// Belongs to the operator's file.
    pub from_file: bool,
}

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Messages sent or received.
    pub messages: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

/// A limit of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes a second.
    Bytes(u64),
    /// Messages a second.
    Messages(u64),
    /// Connections at once.
    Connections(u32),
    /// Requests at once.
    InFlight(u32),
}

/// The source of an error of kind `Throttled` that comes from a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// What is used up.
    pub limit: Limit,
    /// When to try again, in milliseconds from now.
    pub retry_after: Millis,
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "over quota for {} ms", self.retry_after)
    }
}

impl std::error::Error for OverQuota {}

impl Quota {
    /// True when nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let at_once = [self.connections, self.in_flight];
        if self.bytes_per_second == Some(ByteSize(0))
            || self.messages_per_second == Some(0)
            || at_once.contains(&Some(0))
        {
            return Err(Error::invalid(
                "a quota of 0 would stop everything; take away the permission instead",
            ));
        }
        Ok(())
    }
}

/// The buckets of one quota.
#[derive(Debug)]
pub(crate) struct Meter {
    pub quota: Quota,
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
}

impl Meter {
    /// None when nothing is limited.
    pub(crate) fn new(quota: Quota) -> Option<Self> {
        (!quota.is_none()).then(|| Self {
            quota,
            bytes: quota.bytes_per_second.map(|rate| Bucket::new(rate.0)),
            messages: quota.messages_per_second.map(Bucket::new),
        })
    }

    /// # Errors
    /// `Throttled` with an [`OverQuota`], naming whose quota it is.
    pub(crate) fn check(&self, whose: &dyn fmt::Display, now: Millis) -> Result<()> {
        let of = |bucket: &Option<Bucket>| bucket.as_ref().map_or(0, |bucket| bucket.wait(now));
        let (bytes, messages) = (of(&self.bytes), of(&self.messages));
        let retry_after = bytes.max(messages);
        if retry_after == 0 {
            return Ok(());
        }
        let (limit, said) =
            match (bytes >= messages, self.quota.bytes_per_second, self.quota.messages_per_second) {
                (true, Some(rate), _) => (Limit::Bytes(rate.0), format!("{rate} a second")),
                (_, _, rate) => {
                    let rate = rate.unwrap_or_default();
                    (Limit::Messages(rate), format!("{rate} messages a second"))
                }
            };
        let message = format!("{whose} is over its quota of {said}; try again in {retry_after} ms");
        Err(Error::new(ErrorKind::Throttled, message).with_source(OverQuota { limit, retry_after }))
    }

    pub(crate) fn take(&self, cost: Cost, now: Millis) {
        self.bytes.iter().for_each(|bucket| bucket.take(cost.bytes, now));
        self.messages.iter().for_each(|bucket| bucket.take(cost.messages, now));
    }
}

/// A token bucket that may go into debt.
#[derive(Debug)]
struct Bucket {
    /// Tokens a second.
    rate: i128,
    level: Mutex<Level>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    /// In thousandths of a token: what a millisecond brings is then a whole number.
    milli: i128,
    at: Millis,
}

impl Bucket {
    fn new(rate: u64) -> Self {
        let rate = i128::from(rate);
        Self { rate, level: Mutex::new(Level { milli: rate * 1000, at: 0 }) }
    }

    fn refilled(&self, level: Level, now: Millis) -> Level {
        // A clock that was set back brings nothing and takes nothing.
        let passed = i128::from(now.saturating_sub(level.at));
        Level { milli: (level.milli + passed * self.rate).min(self.rate * 1000), at: now }
    }

    /// Milliseconds until something may be taken.
    fn wait(&self, now: Millis) -> Millis {
        let level = self.refilled(*self.level.lock(), now);
        if level.milli > 0 { 0 } else { u64::try_from(-level.milli / self.rate + 1).unwrap_or(Millis::MAX) }
    }

    fn take(&self, tokens: u64, now: Millis) {
        let mut level = self.level.lock();
        *level = self.refilled(*level, now);
        level.milli -= i128::from(tokens) * 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_second_and_debts_are_waited_for() {
        let bucket = Bucket::new(100);
        bucket.take(99, 5000);
        assert_eq!(bucket.wait(5000), 0);
        bucket.take(1, 5000);
        assert_eq!((bucket.wait(5000), bucket.wait(5001)), (1, 0));
        bucket.take(500, 5001);
        assert_eq!((bucket.wait(5001), bucket.wait(10_000), bucket.wait(10_001)), (5000, 1, 0));
        assert_eq!(bucket.wait(4000), 5000, "a clock set back");
        bucket.take(0, 1_000_000);
        assert_eq!(bucket.level.lock().milli, 100_000, "no more than a second's worth");
        let slow = Bucket::new(1);
        slow.take(u64::MAX, 0);
        assert!(slow.wait(0) > 1 << 60);
    }
}
