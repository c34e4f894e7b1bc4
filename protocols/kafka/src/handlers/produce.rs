//! Produce: batches to the log.
//!
//! The one idea to know: every batch is checked to its last byte before it is stored, and all batches of a request are in
//! the log, in the order of the requests, before the first of them is waited for; so many requests share one sync. One
//! partition's refusal is not another's.

use crate::api::{Answer, Fatal, Work};
use crate::batch::{BadBatch, Batch, Budget, Codec, Record};
use crate::client::Client;
use crate::codec::Call;
use crate::convert;
use crate::errors::Code;
use crate::names;
use crate::packed::{self, Refusal};
use crate::shape::Shape;
use crate::transactions;
use bytes::Bytes;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use sluice_auth::Session;
use sluice_broker::{
    Durability, PackedBatch, PartOf, ProducerId, Promise, Sequence, SequenceRefusal, SequencedRequest,
    SequencedSent, Speaker, TransactionRefusal,
};
use sluice_model::{Error, GroupName, Message, Offset, QueueId, TopicName};
use std::sync::Arc;

/// The first version that carries records of today's format. Older ones are advertised, because librdkafka before 2.11
/// compresses nothing for a broker without them, and never asked for.
const FIRST: i16 = 3;
/// The first version whose clients know zstd.
const ZSTD: i16 = 7;
/// The first version whose clients know that a transaction can only be aborted, and the first by which a partition becomes
/// part of one.
const KNOWS_ABORTABLE: i16 = 11;
const JOINS: i16 = 12;
/// "Not by the broker's clock."
const CREATE_TIME: i64 = -1;

/// Unlike others: with `acks=0` there is no answer, and an error closes the connection.
pub(crate) fn produce(client: Arc<Client>, call: Call, shape: &'static Shape) -> Work {
    Box::pin(async move {
        if call.version < FIRST {
            return Answer::Close(None, "a version of produce that is not served");
        }
        let Some(request) = call.decode::<ProduceRequest>(shape) else {
            return Answer::Close(None, "a request that is not readable");
        };
        let acks = request.acks;
        match store(client, call.version, request).await {
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

async fn store(client: Arc<Client>, version: i16, request: ProduceRequest) -> Result<ProduceResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let mut budget = Budget::new(client.config().max_decompressed.bytes());
    let durability = match request.acks {
        -1 => Some(Durability::Sync),
        _ => None, // the topic's own level
    };
    let known_acks = matches!(request.acks, -1..=1);
    let producer = request.transactional_id.as_deref().and_then(|id| transactions::name(id).ok());
    let is_packed = client.broker().takes_packed();
    let mut asked = Vec::with_capacity(request.topic_data.len());
    // Requests are in the log in their order, although what is large is looked at elsewhere.
    let turn = client.produce_turn.lock().await;
    for topic in request.topic_data {
        let place = place(&client, &session, &topic);
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let one = match (known_acks, &place) {
                (false, _) => Err(Refused::new(Code::InvalidRequiredAcks, "acks must be -1, 0 or 1")),
                (true, Err(refused)) => Err(refused.clone()),
                (true, Ok(name)) => {
                    let records = data.records.unwrap_or_default();
                    let checked = check(records, version, is_packed, &mut budget).await;
                    let sender = (version, producer.as_ref());
                    checked.and_then(|checked| {
                        append(&client, &session, sender, name.clone(), (data.index, checked), durability)
                    })
                }
            };
            partitions.push((data.index, one));
        }
        asked.push((topic.name, topic.topic_id, partitions));
    }
    drop(turn);
    let mut responses = Vec::with_capacity(asked.len());
    for (name, topic_id, partitions) in asked {
        let mut told = Vec::with_capacity(partitions.len());
        for (index, stored) in partitions {
            told.push(answer(version, index, finish(stored).await));
        }
        responses.push(
            TopicProduceResponse::default()
                .with_name(name)
                .with_topic_id(topic_id)
                .with_partition_responses(told),
        );
    }
    let throttle = client.throttle_ms();
    Ok(ProduceResponse::default().with_responses(responses).with_throttle_time_ms(throttle))
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

/// A batch that was looked at.
struct Checked {
    batch: Batch,
    content: Content,
}

enum Content {
    /// To be stored as it is.
    Packed(Box<PackedBatch>),
    /// To be stored one by one, because they are more than one entry of the log takes.
    Records(Vec<Record>),
}

/// What is looked at in place, without keeping others waiting for more than a fraction of a millisecond.
const IN_PLACE: usize = 256 << 10;

/// Looks at the batch there must be, elsewhere if it is large.
async fn check(
    mut records: Bytes,
    version: i16,
    is_packed: bool,
    budget: &mut Budget,
) -> Result<Checked, Refused> {
    let is_packed = move |batch: &Batch| is_packed && batch.count as usize <= PackedBatch::MAX_COUNT;
    if records.len() <= IN_PLACE {
        let batch = one_batch(&mut records, version)?;
        let mut in_place = budget.part(IN_PLACE);
        match look(&batch, is_packed(&batch), &mut in_place) {
            // It may be a small batch that becomes large.
            Err(Refusal::Bad(BadBatch::TooLarge)) => {}
            looked => {
                budget.spend(IN_PLACE, &in_place);
                return Ok(Checked { batch, content: looked? });
            }
        }
        return Box::pin(off_reactor(batch, is_packed, budget)).await; // rare, and not small
    }
    let batch = tokio::task::spawn_blocking(move || one_batch(&mut records, version)).await;
    Box::pin(off_reactor(batch.map_err(|_| unfinished())??, is_packed, budget)).await
}

async fn off_reactor(
    batch: Batch,
    is_packed: impl Fn(&Batch) -> bool + Send + 'static,
    budget: &mut Budget,
) -> Result<Checked, Refused> {
    let mut rest = std::mem::take(budget);
    let looked = tokio::task::spawn_blocking(move || {
        let content = look(&batch, is_packed(&batch), &mut rest);
        (rest, content.map(|content| Checked { batch, content }))
    });
    let (rest, checked) = looked.await.map_err(|_| unfinished())?;
    *budget = rest;
    Ok(checked?)
}

fn look(batch: &Batch, is_packed: bool, budget: &mut Budget) -> Result<Content, Refusal> {
    if is_packed {
        return packed::check(batch, budget).map(|packed| Content::Packed(Box::new(packed)));
    }
    let records = batch.records(budget)?;
    if records.iter().zip(0..).any(|(record, at)| record.offset_delta != at) {
        return Err(BadBatch::Invalid("the records of a batch are not numbered from 0").into());
    }
    Ok(Content::Records(records))
}

fn messages(records: Vec<Record>, session: &Session) -> Result<Vec<Message>, Refused> {
    let messages: Result<Vec<Message>, Error> =
        records.into_iter().map(|record| convert::to_message(record, session)).collect();
    messages.map_err(|error| Refused::new(Code::InvalidTimestamp, error.message()))
}

fn unfinished() -> Refused {
    Refused::new(Code::Unknown, "the broker is going down")
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Bad(bad) => bad.into(),
            Refusal::Time => Self::new(Code::InvalidTimestamp, "a record's time lies before 1970"),
        }
    }
}

fn append(
    client: &Client,
    session: &Session,
    (version, producer): (i16, Option<&GroupName>),
    topic: TopicName,
    (index, checked): (i32, Checked),
    durability: Option<Durability>,
) -> Result<Stored, Refused> {
    let Checked { batch, content } = checked;
    let queue = u32::try_from(index).map(QueueId).map_err(|_| unknown_partition())?;
    let sequence = sequence(&batch)?;
    let transaction = match batch.is_transactional() {
        true => Some(part_of(client, session, version, sequence, producer)?),
        false => None,
    };
    let (messages, packed) = match content {
        Content::Packed(packed) => (Vec::new(), Some(*packed)),
        Content::Records(records) => (messages(records, session)?, None),
    };
    let request =
        SequencedRequest { topic: topic.clone(), queue, messages, packed, sequence, transaction, durability };
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
        Err(error) => match TransactionRefusal::of(&error) {
            Some(TransactionRefusal::State) if version >= KNOWS_ABORTABLE => {
                Err(Refused::new(Code::TransactionAbortable, error.message()))
            }
            Some(_) => Err(Refused::new(transactions::code_of(&error, false), error.message())),
            None => Err(refused(&error)),
        },
    }
}

/// Whose transaction a batch is part of: its producer's, if that is the one that it says it is.
fn part_of(
    client: &Client,
    session: &Session,
    version: i16,
    sequence: Option<Sequence>,
    producer: Option<&GroupName>,
) -> Result<PartOf, Refused> {
    let Some(producer) = producer else {
        let text = "a batch of a transaction comes with its producer's name";
        return Err(Refused::new(Code::TransactionalIdAuthorizationFailed, text));
    };
    let Some(Sequence { producer: number, epoch, .. }) = sequence else {
        return Err(Refused::new(Code::InvalidRecord, "a batch of a transaction has a producer"));
    };
    let speaker = Speaker { name: producer, id: ProducerId { number, epoch } };
    match client.broker().join_transaction(session, &speaker, &[], &[]) {
        Ok(_) => Ok(PartOf { producer: producer.clone(), joins: version >= JOINS }),
        Err(error) => Err(Refused::new(transactions::code_of(&error, false), error.message())),
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
