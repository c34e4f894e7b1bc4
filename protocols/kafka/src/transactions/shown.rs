//! DescribeProducers, DescribeTransactions and ListTransactions: for administrators who look for what holds consumers up.

use super::init::told;
use super::name;
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::handlers::partition;
use crate::names;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
    ProducerId as KafkaProducer, TopicName as KafkaTopic, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::Session;
use sluice_broker::ProducerView;
use sluice_model::TopicName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The states that a transaction can be seen in. Kafka has others, between a decision and its markers; here is nothing
/// between.
const STATES: [&str; 4] = ["Empty", "Ongoing", "CompleteCommit", "CompleteAbort"];
/// The same in Kafka: they are known, and nobody is in them.
const OTHERS: [&str; 4] = ["PrepareCommit", "PrepareAbort", "Dead", "PrepareEpochFence"];
/// The epoch of a coordinator that never changes, and of none.
const COORDINATOR_EPOCH: i32 = 0;
const NONE: i64 = -1;

fn state(view: &ProducerView) -> &'static str {
    let [empty, ongoing, committed, aborted] = STATES;
    match (view.since, view.committed) {
        (Some(_), _) => ongoing,
        (None, None) => empty,
        (None, Some(true)) => committed,
        (None, Some(false)) => aborted,
    }
}

pub(crate) async fn list_transactions(
    client: Arc<Client>,
    _: Head,
    request: ListTransactionsRequest,
) -> Result<ListTransactionsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let Ok(views) = client.broker().named_producers(&session) else {
        return Ok(ListTransactionsResponse::default().with_error_code(Code::Unknown.number()));
    };
    let known = |filter: &&StrBytes| STATES.iter().chain(&OTHERS).any(|state| *state == filter.as_str());
    let unknown = request.state_filters.iter().filter(|filter| !known(filter)).cloned().collect();
    let now = client.broker().now();
    let open_for = |view: &ProducerView| view.since.map(|since| now.saturating_sub(since));
    let wanted = |view: &&ProducerView| {
        let (states, numbers) = (&request.state_filters, &request.producer_id_filters);
        let in_state = states.is_empty() || states.iter().any(|wanted| wanted.as_str() == state(view));
        let numbered = numbers.is_empty() || numbers.iter().any(|n| u64::try_from(n.0) == Ok(view.id.number));
        let long = u64::try_from(request.duration_filter)
            .map_or(true, |least| open_for(view).is_some_and(|open| open >= least));
        in_state && numbered && long
    };
    let listed = views.iter().filter(wanted).filter_map(|view| {
        let listed = Listed::default()
            .with_transactional_id(id(view)?)
            .with_producer_id(KafkaProducer(told(view.id)?.0))
            .with_transaction_state(StrBytes::from_static_str(state(view)));
        Some(listed)
    });
    Ok(ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown)
        .with_transaction_states(listed.collect()))
}

/// What Kafka clients call a producer, if they can.
fn id(view: &ProducerView) -> Option<TransactionalId> {
    names::group_id(&view.name).map(|id| TransactionalId(StrBytes::from_string(id)))
}

pub(crate) async fn describe_transactions(
    client: Arc<Client>,
    _: Head,
    request: DescribeTransactionsRequest,
) -> Result<DescribeTransactionsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let views = client.broker().named_producers(&session).unwrap_or_default();
    let states = request.transactional_ids.into_iter().map(|asked| {
        let known = name(&asked).ok().and_then(|name| views.iter().find(|view| view.name == name));
        let state = match known {
            Some(view) => described(view),
            // What may not be seen is not told apart from what is not there.
            None => TransactionState::default()
                .with_error_code(Code::TransactionalIdNotFound.number())
                .with_producer_id(KafkaProducer(NONE))
                .with_producer_epoch(-1)
                .with_transaction_start_time_ms(NONE),
        };
        state.with_transactional_id(asked)
    });
    Ok(DescribeTransactionsResponse::default().with_transaction_states(states.collect()))
}

fn described(view: &ProducerView) -> TransactionState {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, queue) in &view.places {
        topics.entry(names::topic_name(topic)).or_default().push(queue.0 as i32);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicData::default().with_topic(KafkaTopic(StrBytes::from_string(topic))).with_partitions(partitions)
    });
    let (number, epoch) = told(view.id).unwrap_or((NONE, -1));
    TransactionState::default()
        .with_transaction_state(StrBytes::from_static_str(state(view)))
        .with_transaction_timeout_ms(i32::try_from(view.timeout.as_millis()).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(view.since.map_or(NONE, |since| since as i64))
        .with_producer_id(KafkaProducer(number))
        .with_producer_epoch(epoch)
        .with_topics(topics.collect())
}

pub(crate) async fn describe_producers(
    client: Arc<Client>,
    _: Head,
    request: DescribeProducersRequest,
) -> Result<DescribeProducersResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let topics = request.topics.into_iter().map(|asked| {
        let topic = names::topic(&asked.name).ok_or(Code::InvalidTopic);
        let partitions = asked.partition_indexes.iter().map(|index| {
            let told = PartitionResponse::default().with_partition_index(*index).with_error_message(None);
            match topic
                .as_ref()
                .map_err(|code| *code)
                .and_then(|topic| senders(&client, &session, topic, *index))
            {
                Ok(active) => told.with_active_producers(active),
                Err(code) => told.with_error_code(code.number()),
            }
        });
        TopicResponse::default().with_partitions(partitions.collect()).with_name(asked.name.clone())
    });
    Ok(DescribeProducersResponse::default().with_topics(topics.collect()))
}

fn senders(
    client: &Client,
    session: &Session,
    topic: &TopicName,
    index: i32,
) -> Result<Vec<ProducerState>, Code> {
    let senders = client.broker().senders(session, topic, partition(index)?);
    let senders = senders.map_err(|error| Code::of_partition(&error))?.into_iter().filter_map(|sender| {
        let (number, epoch) = told(sender.id)?;
        let state = ProducerState::default()
            .with_producer_id(KafkaProducer(number))
            .with_producer_epoch(i32::from(epoch))
            .with_last_sequence(i32::try_from(sender.last).ok()?)
            .with_last_timestamp(i64::try_from(sender.at).ok()?)
            .with_coordinator_epoch(COORDINATOR_EPOCH)
            .with_current_txn_start_offset(sender.begin.map_or(NONE, |begin| begin as i64));
        Some(state)
    });
    Ok(senders.collect())
}
