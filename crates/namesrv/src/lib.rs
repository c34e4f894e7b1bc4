//! The route table of the name server role: which queues a topic has, and at which broker.
//!
//! It exists because stock RocketMQ clients ask a name server first and a broker second. The one idea to know: here
//! both roles are one process, so the table keeps no copy of the topics. It adds to the broker's own topics what only
//! the name server knows: who the broker is, and the template topics through which clients find a broker for a topic
//! that does not exist yet.
//!
//! Wires are not known here (`protocols/remoting` asks the questions), nor are permissions (the broker's). Other
//! brokers cannot register yet; when they do, their topics and their liveness belong here.

use bytestring::ByteString;

/// The template that clients ask for when a topic has no route.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// The most queues that a client's first send makes: RocketMQ's `defaultTopicQueueNums`.
pub const AUTO_CREATE_QUEUES: u32 = 8;
/// What the topic of replies has after the cluster's name.
const REPLY_SUFFIX: &str = "_REPLY_TOPIC";
/// Queues of the template topic named after the cluster, as stock brokers have it.
const CLUSTER_TOPIC_QUEUES: u32 = 16;

/// Permission bits of a topic.
pub mod perm {
    /// Topics made through this one inherit its settings.
    pub const INHERIT: u8 = 1;
    /// May be sent to.
    pub const WRITE: u8 = 2;
    /// May be read.
    pub const READ: u8 = 4;
}

/// Who the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerIdentity {
    /// The cluster it belongs to.
    pub cluster: ByteString,
    /// Its name in the cluster; clients address queues by (name, topic, number).
    pub name: ByteString,
}

/// The queues of a topic, as a client needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// How many; numbered from 0, each for reading and writing.
    pub count: u32,
    /// See [`perm`].
    pub perm: u8,
}

/// The name server's knowledge.
#[derive(Debug, Clone)]
pub struct RouteTable {
    broker: BrokerIdentity,
    reply_topic: ByteString,
}

impl RouteTable {
    /// The table of a name server that serves one broker.
    pub fn new(broker: BrokerIdentity) -> Self {
        let reply_topic = format!("{}{REPLY_SUFFIX}", broker.cluster).into();
        Self { broker, reply_topic }
    }

    /// The broker.
    pub fn broker(&self) -> &BrokerIdentity {
        &self.broker
    }

    /// The queues of a template topic: one that nobody made, that holds no messages, and that leads to a broker. Whether
    /// sending makes topics is the broker's to say.
    pub fn template(&self, topic: &str, auto_create: bool) -> Option<Queues> {
        let perm = perm::READ | perm::WRITE | perm::INHERIT;
        match topic {
            AUTO_CREATE_TOPIC if auto_create => Some(Queues { count: AUTO_CREATE_QUEUES, perm }),
            topic if self.broker.cluster == *topic => Some(Queues { count: CLUSTER_TOPIC_QUEUES, perm }),
            topic if self.broker.name == *topic => Some(Queues { count: 1, perm }),
            // Replies go through the broker without being stored; clients find it as they find any topic's.
            topic if self.reply_topic() == topic => Some(Queues { count: 1, perm: perm::READ | perm::WRITE }),
            _ => None,
        }
    }

    /// The names of all templates.
    pub fn templates(&self, auto_create: bool) -> impl Iterator<Item = &str> {
        let auto_create = auto_create.then_some(AUTO_CREATE_TOPIC);
        auto_create.into_iter().chain([&*self.broker.cluster, &*self.broker.name, &*self.reply_topic])
    }

    /// The topic by whose route clients find the broker for a reply.
    pub fn reply_topic(&self) -> &str {
        &self.reply_topic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        RouteTable::new(BrokerIdentity { cluster: "C".into(), name: "b".into() })
    }

    #[test]
    fn templates_lead_to_the_broker() {
        let perm = 7;
        assert_eq!(table().template("TBW102", true), Some(Queues { count: 8, perm }));
        assert_eq!(table().template("C", true), Some(Queues { count: 16, perm }));
        assert_eq!(table().template("b", true), Some(Queues { count: 1, perm }));
        assert_eq!(table().template("C_REPLY_TOPIC", true), Some(Queues { count: 1, perm: 6 }));
        assert_eq!(table().template("orders", true), None);
        assert_eq!(table().templates(true).collect::<Vec<_>>(), ["TBW102", "C", "b", "C_REPLY_TOPIC"]);
    }

    #[test]
    fn without_auto_creation_there_is_no_template_for_unknown_topics() {
        assert_eq!(table().template("TBW102", false), None);
        assert_eq!(table().templates(false).collect::<Vec<_>>(), ["C", "b", "C_REPLY_TOPIC"]);
    }
}
