//! Names within an instance: `{instance}%{name}`, as RocketMQ spells namespaces.
//!
//! An instance is nothing that exists by itself: it is there when it has topics. So an unknown one has none, and what is
//! asked of it is answered as for an unknown topic.

use super::faults::Fault;
use crate::namespace;
use sluice_model::{GroupName, TopicName};

pub(super) fn topic(instance: &str, name: &str) -> Result<TopicName, Fault> {
    Ok(TopicName::new(within(instance, name)?)?)
}

pub(super) fn group(instance: &str, name: &str) -> Result<GroupName, Fault> {
    if name.is_empty() {
        return Err(Fault::invalid("the parameter consumer is missing"));
    }
    Ok(GroupName::new(within(instance, name)?)?)
}

fn within(instance: &str, name: &str) -> Result<String, Fault> {
    if instance.is_empty() {
        return Ok(name.to_owned());
    }
    // Longer than a namespace may be elsewhere: the cloud gives them out.
    if !instance.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
        return Err(Fault::invalid("an instance (ns) has letters, digits, _ and - only"));
    }
    Ok(namespace::within(instance, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_stand_before_names_and_after_prefixes() {
        let name = |instance, name| topic(instance, name).unwrap().to_string();
        assert_eq!(name("", "orders"), "orders");
        assert_eq!(name("MQ_INST_1", "orders"), "MQ_INST_1%orders");
        assert_eq!(name("MQ_INST_1", "%DLQ%GID_a"), "%DLQ%MQ_INST_1%GID_a");
        let dead = group("MQ_INST_1", "GID_a").unwrap().dead_letter_topic();
        assert_eq!(dead.as_str(), name("MQ_INST_1", "%DLQ%GID_a"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (instance, name) in [("a%b", "t"), ("a/b", "t"), ("", "a b"), ("", "a.b"), ("i", "")] {
            assert!(topic(instance, name).is_err() || name.is_empty(), "{instance} {name}");
        }
        assert!(group("", "").is_err());
        assert!(topic("x", &"t".repeat(126)).is_err(), "too long with its instance");
    }
}
