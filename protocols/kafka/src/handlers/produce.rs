//! Produce: batches to the log.
//!
//! The one idea to know: every batch is checked to its last byte before it is stored, and all batches of a request are in
//! the log, in the order of the requests, before the first of them is waited for; so many requests share one sync. One
//! partition's refusal is not another's.

use crate::api::{Answer, Fatal, Head, Work};
use crate::batch::{BadBatch, Batch, Budget, Codec};
use crate::client::Client;
use crate::codec::Call;
use crate::convert;
use crate::errors::Code;
use crate::names;
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use sluice_auth::Session;
use sluice_broker::{Durability, Promise, Sequence, SequenceRefusal, SequencedRequest, SequencedSent};
use sluice_model::{Error, Message, Offset, QueueId, TopicName};
use std::sync::Arc;

/// The first version that carries records of today's format. Older ones are advertised, because librdkafka before 2.11
/// compresses nothing for a broker without them, and never asked for.
const FIRST: i16 = 3;
/// The first version whose clients know zstd.
const ZSTD: i16 = 7;
/// "Not by the broker's clock."
const CREATE_TIME: i64 = -1;

/// Unlike others: with `acks=0` there is no answer, and an error closes the connection.
pub(crate) fn produce(client: Arc<Client>, call: Call, shape: &'static str) -> Work {
    Box::pin(async move {
        if call.version < FIRST {
            return Answer::Close(None, "a version of produce that is not served");
        }
        let Some(request) = call.decode::<ProduceRequest>(shape) else {
            return Answer::Close(None, "a request that is not readable");
        };
        let acks = request.acks;
        match store(client, call.head(), request).await {
            Err(Fatal(why)) => Answer::Close(None, why),
            Ok(response) if acks == 0 => match response
                .responses
                .iter()
                .flat_map(|t| &t.partition_responses)
                .find(|p| p.error_code != 0)
            {
                Some(_) => Answer::Close(None, "a record without acknowledgement could not be stored"),
                None => Answer::Silence,
            },
            Ok(response) => call.respond(&response),
        }
    })
}

async fn store(client: Arc<Client>, head: Head, request: ProduceRequest) -> Result<ProduceResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let mut budget = Budget::new(client.config().max_decompressed.bytes());
    let durability = match request.acks {
        -1 => Some(Durability::Sync),
        _ => None, // the topic's own level
    };
    let known_acks = matches!(request.acks, -1..=1);
    let mut asked = Vec::new();
    for topic in request.topic_data {
        let place = place(&client, &session, &topic);
        let mut partitions = Vec::new();
        for data in topic.partition_data {
            let mut one = || {
                if !known_acks {
                    return Err(Refused::new(Code::InvalidRequiredAcks, "acks must be -1, 0 or 1"));
                }
                let name = place.clone()?;
                append(&client, &session, head.version, name, &data, durability, &mut budget)
            };
            partitions.push((data.index, one()));
        }
        asked.push((topic.name, topic.topic_id, partitions));
    }
    let mut responses = Vec::with_capacity(asked.len());
    for (name, topic_id, partitions) in asked {
        let mut told = Vec::with_capacity(partitions.len());
        for (index, stored) in partitions {
            told.push(answer(head.version, index, finish(stored).await));
        }
        responses.push(
            TopicProduceResponse::default()
                .with_name(name)
                .with_topic_id(topic_id)
                .with_partition_responses(told),
        );
    }
    Ok(ProduceResponse::default().with_responses(responses))
}

/// Why a partition's batch is not stored.
#[derive(Debug, Clone)]
struct Refused {
    code: Code,
    why: String,
}

impl Refused {
    fn new(code: Code, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

impl From<BadBatch> for Refused {
    fn from(bad: BadBatch) -> Self {
        match bad {
            BadBatch::Corrupt(why) => Self::new(Code::CorruptMessage, why),
            BadBatch::Invalid(why) => Self::new(Code::InvalidRecord, why),
            BadBatch::OldFormat => {
                Self::new(Code::UnsupportedForMessageFormat, "records must be of format 2")
            }
            BadBatch::TooLarge => Self::new(Code::MessageTooLarge, "the batch is too large when unpacked"),
        }
    }
}

fn place(client: &Client, session: &Session, topic: &TopicProduceData) -> Result<TopicName, Refused> {
    if topic.topic_id.is_nil() {
        return names::topic(&topic.name)
            .ok_or_else(|| Refused::new(Code::InvalidTopic, "not the name of a topic"));
    }
    let known = client.wire.topic_ids.topic(client.broker(), session, topic.topic_id);
    known.ok_or_else(|| Refused::new(Code::UnknownTopicId, "there is no topic of this id"))
}

/// A batch in the log.
enum Stored {
    Now {
        promise: Promise<Offset>,
        begin: Offset,
    },
    /// It was there before.
    Before {
        first: Offset,
        begin: Offset,
    },
}

fn append(
    client: &Client,
    session: &Session,
    version: i16,
    topic: TopicName,
    data: &PartitionProduceData,
    durability: Option<Durability>,
    budget: &mut Budget,
) -> Result<Stored, Refused> {
    let mut bytes = data.records.clone().unwrap_or_default();
    let batch = one_batch(&mut bytes, version)?;
    let records = batch.records(budget)?;
    if records.iter().zip(0..).any(|(record, at)| record.offset_delta != at) {
        return Err(Refused::new(Code::InvalidRecord, "the records of a batch are not numbered from 0"));
    }
    let messages: Result<Vec<Message>, Error> =
        records.into_iter().map(|record| convert::to_message(record, session)).collect();
    let messages = messages.map_err(|error| Refused::new(Code::InvalidTimestamp, error.message()))?;
    let queue = u32::try_from(data.index).map(QueueId).map_err(|_| unknown_partition())?;
    let request =
        SequencedRequest { topic: topic.clone(), queue, messages, sequence: sequence(&batch)?, durability };
    let begin = client.broker().bounds(session, &topic, queue).map(|(begin, _)| begin);
    let begin = begin.map_err(|error| refused(&error))?;
    match client.broker().send_sequenced(session, request) {
        Ok(SequencedSent::First(promise)) => Ok(Stored::Now { promise, begin }),
        Ok(SequencedSent::Again(first)) => Ok(Stored::Before { first, begin }),
        Ok(SequencedSent::Refused(SequenceRefusal::OldEpoch)) => {
            Err(Refused::new(Code::InvalidProducerEpoch, "the producer's epoch is over"))
        }
        Ok(SequencedSent::Refused(SequenceRefusal::Gap)) => {
            Err(Refused::new(Code::OutOfOrderSequenceNumber, "a batch before this one is missing"))
        }
        Err(error) => Err(refused(&error)),
    }
}

/// The one batch there must be.
fn one_batch(bytes: &mut Bytes, version: i16) -> Result<Batch, Refused> {
    if bytes.is_empty() {
        return Err(Refused::new(Code::InvalidRecord, "there is no batch"));
    }
    let batch = Batch::take(bytes)?;
    let wrong = |why| Err(Refused::new(Code::InvalidRecord, why));
    if !bytes.is_empty() {
        return wrong("there is more than one batch");
    }
    match batch.codec() {
        None => return wrong("the batch is compressed in an unknown way"),
        Some(Codec::Zstd) if version < ZSTD => {
            return Err(Refused::new(Code::UnsupportedCompressionType, "zstd needs version 7 of produce"));
        }
        Some(_) => {}
    }
    if batch.count <= 0 || batch.last_offset_delta.checked_add(1) != Some(batch.count) {
        return wrong("the count of records and the last offset differ");
    }
    if batch.is_control() {
        return wrong("clients send no control batches");
    }
    if batch.is_transactional() {
        return Err(Refused::new(Code::InvalidTxnState, "transactions are not offered"));
    }
    Ok(batch)
}

fn sequence(batch: &Batch) -> Result<Option<Sequence>, Refused> {
    let Ok(producer) = u64::try_from(batch.producer_id) else { return Ok(None) };
    match (u16::try_from(batch.producer_epoch), u32::try_from(batch.base_sequence)) {
        (Ok(epoch), Ok(first)) => Ok(Some(Sequence { producer, epoch, first })),
        _ => Err(Refused::new(Code::InvalidRecord, "a producer's batch has no epoch or no sequence number")),
    }
}

fn unknown_partition() -> Refused {
    Refused::new(Code::UnknownTopicOrPartition, "there is no such partition")
}

fn refused(error: &Error) -> Refused {
    Refused::new(Code::of_records(error), error.message())
}

async fn finish(stored: Result<Stored, Refused>) -> Result<(Offset, Offset), Refused> {
    match stored? {
        Stored::Now { promise, begin } => {
            let first = promise.await.map_err(|error| refused(&error))?;
            Ok((first, begin))
        }
        Stored::Before { first, begin } => Ok((first, begin)),
    }
}

fn answer(version: i16, index: i32, stored: Result<(Offset, Offset), Refused>) -> PartitionProduceResponse {
    let mut told = PartitionProduceResponse::default()
        .with_index(index)
        .with_log_append_time_ms(CREATE_TIME)
        .with_error_message(None);
    match stored {
        Ok((first, begin)) => {
            told.base_offset = first as i64;
            if version >= 5 {
                told.log_start_offset = begin as i64;
            }
        }
        Err(Refused { code, why }) => {
            told.error_code = code.number();
            told.base_offset = -1;
            if version >= 8 {
                told.error_message = Some(why.into());
            }
        }
    }
    told
}
