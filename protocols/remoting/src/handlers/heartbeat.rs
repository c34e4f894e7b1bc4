//! HEART_BEAT (34): which groups a client takes part in, and what they read.
//!
//! The one idea to know: consumers tell their subscriptions here and nowhere else; a pull relies on them. Since 5.1 a
//! client may leave them out while nothing changed, and is told when they are wanted again.

use super::json::{Constant, number};
use super::pull::condition;
use super::{Call, Result};
use crate::clients::Known;
use crate::codec::language_name;
use crate::codes::response::SUBSCRIPTION_PARSE_FAILED;
use crate::response::Response;
use serde::Deserialize;
use sluice_broker::{Broker, Fetching, Membership, Sharing, StartAt, Subscription};
use sluice_model::{GroupName, TopicName};

/// The most groups in one heartbeat: more than any process runs, so that one frame cannot make a million of them.
const MAX_GROUPS: usize = 1000;
/// The most subscriptions of one group.
const MAX_SUBSCRIPTIONS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heartbeat {
    #[serde(rename = "clientID")]
    client_id: String,
    #[serde(default)]
    consumer_data_set: Vec<Consumer>,
    #[serde(default)]
    producer_data_set: Vec<Producer>,
    #[serde(default, deserialize_with = "number")]
    heartbeat_fingerprint: i64,
    #[serde(default)]
    without_sub: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Producer {
    group_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consumer {
    group_name: String,
    #[serde(default)]
    consume_type: Constant,
    #[serde(default)]
    message_model: Constant,
    #[serde(default)]
    consume_from_where: Constant,
    #[serde(default)]
    subscription_data_set: Vec<SubscriptionData>,
}

/// What a consumer wants from one topic.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscriptionData {
    topic: String,
    #[serde(default)]
    sub_string: Option<String>,
    #[serde(default, deserialize_with = "number")]
    sub_version: i64,
    #[serde(default)]
    expression_type: Option<String>,
}

pub(super) fn handle(call: &Call) -> Result<Response> {
    let beat: Heartbeat = call.body()?;
    if beat.consumer_data_set.len() + beat.producer_data_set.len() > MAX_GROUPS {
        return Err(crate::errors::Failure::invalid(format!(
            "a heartbeat may name at most {MAX_GROUPS} groups"
        )));
    }
    let known = beat.known(call);
    let client = call.link.client(&call.node, &call.session);
    client.produce_as(&call.session, &known.producers)?;
    call.link.heard(&call.node, known);
    // Older clients do not read the answer; newer ones leave subscriptions out only after a "false".
    let mut wanted = beat.heartbeat_fingerprint == 0;
    let mut consumed = Vec::with_capacity(beat.consumer_data_set.len());
    for consumer in &beat.consumer_data_set {
        let membership = consumer.membership(call, &beat)?;
        consumed.push((membership.group.clone(), membership.subscriptions.clone()));
        let group = membership.group.clone();
        let joined = client.join(&call.session, membership)?;
        wanted |= !joined.subscriptions_known;
        if joined.changed || call.node.differing.is_doubtful(&group) {
            call.node.differing.look(&group, &super::members::members(call, &group)?);
        }
    }
    call.link.consumes(consumed);
    Ok(Response::success().field("IS_SUB_CHANGE", wanted).field("IS_SUPPORT_HEART_BEAT_V2", true))
}

impl Heartbeat {
    /// A producer's group needs no permission, and one that is no name is nobody's to ask for.
    fn known(&self, call: &Call) -> Known {
        let producers = self.producer_data_set.iter().filter_map(|p| GroupName::new(&p.group_name[..]).ok());
        Known {
            client_id: self.client_id.as_str().into(),
            peer: call.link.peer,
            language: call.frame.head.language,
            version: call.frame.head.version,
            producers: producers.collect(),
            seen: call.node.broker.now(),
        }
    }
}

impl Consumer {
    fn membership(&self, call: &Call, beat: &Heartbeat) -> Result<Membership> {
        let head = &call.frame.head;
        Ok(Membership {
            group: call.named_group(self.group_name.clone().into())?,
            client_id: beat.client_id.as_str().into(),
            sharing: if self.message_model.is("BROADCASTING", 0) {
                Sharing::Broadcasting
            } else {
                Sharing::Clustering
            },
            fetching: if self.consume_type.is("CONSUME_ACTIVELY", 0) {
                Fetching::Pull
            } else {
                Fetching::Push
            },
            start: if self.consume_from_where.is("CONSUME_FROM_FIRST_OFFSET", 4)
                || self.consume_from_where.is("CONSUME_FROM_MIN_OFFSET", 2)
            {
                StartAt::Earliest
            } else {
                StartAt::Latest
            },
            subscriptions: if beat.without_sub { None } else { Some(self.subscriptions(call)?) },
            agent: format!("{} {}", language_name(head.language), head.version).into(),
        })
    }

    fn subscriptions(&self, call: &Call) -> Result<Vec<Subscription>> {
        if self.subscription_data_set.len() > MAX_SUBSCRIPTIONS {
            let text = format!("a group may subscribe to at most {MAX_SUBSCRIPTIONS} topics");
            return Err(crate::errors::Failure::invalid(text));
        }
        let mut parsed = Vec::with_capacity(self.subscription_data_set.len());
        for data in &self.subscription_data_set {
            match data.parsed(&call.node.broker) {
                Ok(subscription) => parsed.push(subscription),
                // As stock brokers do: the heartbeat counts, and the pull that relies on the condition is refused.
                Err(failure) if failure.code == SUBSCRIPTION_PARSE_FAILED => {
                    let (group, topic) = (&self.group_name, &data.topic);
                    tracing::warn!(group, topic, why = failure.text, "a subscription is not readable");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(parsed)
    }
}

impl SubscriptionData {
    /// # Errors
    /// `SUBSCRIPTION_PARSE_FAILED` for a condition that is none.
    pub(super) fn parsed(&self, broker: &Broker) -> Result<Subscription> {
        let expression = self.sub_string.clone().unwrap_or_default();
        let kind = self.expression_type.as_deref().unwrap_or_default();
        Ok(Subscription {
            topic: TopicName::new(self.topic.clone())?,
            filter: condition(broker, kind, &expression)?,
            expression: expression.into(),
            version: self.sub_version,
        })
    }
}
