//! Receipt handles as this wire shows them: what the broker gave, and the request that it belongs to.
//!
//! A handle is good for the topic and group it was got with, and for nothing else. The broker's own handle is sealed and
//! knows its group; the checksum added here catches the mistakes that the cloud's service would catch too. It proves
//! nothing, and need not: who may settle is asked of the broker.

use sha2::{Digest, Sha256};
use sluice_model::{GroupName, ReceiptHandle, TopicName};

/// What one delivery is settled with.
pub(super) fn of_delivery(receipt: &ReceiptHandle, topic: &TopicName, group: &GroupName) -> String {
    format!("{}.{}", receipt.as_str(), checksum(topic, group.as_str()))
}

pub(super) fn delivery(handle: &str, topic: &TopicName, group: &GroupName) -> Option<ReceiptHandle> {
    let (receipt, sum) = handle.rsplit_once('.')?;
    (sum == checksum(topic, group.as_str())).then(|| receipt.into())
}

/// What a transaction is ended with. Its publish knows no group, so any will do.
pub(super) fn of_transaction(transaction: u64, topic: &TopicName) -> String {
    format!("T{transaction:016x}.{}", checksum(topic, ""))
}

pub(super) fn transaction(handle: &str, topic: &TopicName) -> Option<u64> {
    let (number, sum) = handle.strip_prefix('T')?.split_once('.')?;
    let number = u64::from_str_radix(number, 16).ok().filter(|_| number.len() == 16)?;
    (sum == checksum(topic, "")).then_some(number)
}

fn checksum(topic: &TopicName, group: &str) -> String {
    let digest = Sha256::new().chain_update(topic.as_str()).chain_update([0]).chain_update(group).finalize();
    hex::encode(digest.get(..4).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (TopicName, TopicName, GroupName, GroupName) {
        let (topic, group) = (|n: &str| TopicName::new(n).unwrap(), |n: &str| GroupName::new(n).unwrap());
        (topic("t"), topic("u"), group("g"), group("h"))
    }

    #[test]
    fn a_handle_is_good_where_it_was_got() {
        let (t, u, g, h) = names();
        let handle = of_delivery(&ReceiptHandle::from("abc-_9"), &t, &g);
        assert_eq!(delivery(&handle, &t, &g), Some(ReceiptHandle::from("abc-_9")));
        assert_eq!(delivery(&handle, &u, &g), None);
        assert_eq!(delivery(&handle, &t, &h), None);
        assert_eq!(transaction(&handle, &t), None);
    }

    #[test]
    fn a_transaction_has_a_handle_of_its_own() {
        let (t, u, g, _) = names();
        let handle = of_transaction(0xAB, &t);
        assert_eq!(transaction(&handle, &t), Some(0xAB));
        assert_eq!(transaction(&handle, &u), None);
        for bad in ["", "T", "T.", "T12.00000000", "Tzzzzzzzzzzzzzzzz.00000000", "nothing"] {
            assert!(transaction(bad, &t).is_none() && delivery(bad, &t, &g).is_none(), "{bad}");
        }
    }
}
