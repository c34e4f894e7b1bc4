//! Fetch: batches from the log, waiting for some if there are none.
//!
//! The one idea to know: partitions are walked in the order of the request, each takes of the room that is left, and the
//! first that has anything gives at least one record, so that a reader always gets on. While too little is there the
//! request waits for any of its partitions to grow, and looks again.
//!
//! Sessions are not kept: every answer says so, and clients then name all partitions each time.

use crate::api::{Answer, Fatal, Head, Work};
use crate::client::Client;
use crate::codec::Call;
use crate::errors::Code;
use crate::groups::host;
use crate::handlers::fetched::Fetched;
use crate::handlers::{partition, same_epoch};
use crate::names;
use crate::pieces::Pieces;
use crate::shape::Shape;
use crate::taken::Taken;
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId};
use sluice_auth::Session;
use sluice_broker::{Aborted, LogBounds, PackedBatch, PackedPull, PulledPacked, Reach};
use sluice_model::{ErrorKind, GroupName, Offset, QueueId, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A reader that takes only what is committed.
const READ_COMMITTED: i8 = 1;
/// Requests that name a session: none is kept.
const NO_SESSION: i32 = 0;
/// The first version that names topics by their ids.
const BY_ID: i16 = 13;

/// Unlike others: what is answered is not copied into one piece.
pub(crate) fn fetch(client: Arc<Client>, call: Call, shape: &'static Shape) -> Work {
    Box::pin(async move {
        let Some(request) = call.decode::<FetchRequest>(shape) else {
            return Answer::Close(None, "a request that is not readable");
        };
        match find(client, call.head(), request).await {
            Ok(fetched) => fetched.respond(&call),
            Err(Fatal(why)) => Answer::Close(None, why),
        }
    })
}

async fn find(client: Arc<Client>, head: Head, request: FetchRequest) -> Result<Fetched, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    if request.session_id != NO_SESSION {
        let response = FetchResponse::default().with_error_code(Code::FetchSessionIdNotFound.number());
        return Ok(Fetched { response, records: Vec::new() });
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(client.broker().config().max_wait.0);
    let max = usize::try_from(request.max_bytes).unwrap_or(0).min(client.config().max_fetch.bytes());
    let min = usize::try_from(request.min_bytes).unwrap_or(0).min(max);
    let mut turn = Turn {
        client: &client,
        session: &session,
        version: head.version,
        reach: match request.isolation_level {
            READ_COMMITTED => Reach::Decided,
            _ => Reach::Everything,
        },
        group: client.wire.groups.limited_group_of(&host(&client), &head.client_id),
    };
    loop {
        let looked = turn.look(&request.topics, max).await;
        let enough = looked.bytes >= min || looked.failed || looked.places.is_empty();
        if enough || Instant::now() >= deadline || client.is_closing() {
            let told = FetchResponse::default().with_responses(looked.topics).with_session_id(NO_SESSION);
            let of_group = turn.group.as_ref().map_or(0, |group| client.throttle_ms_of(group));
            let response = told.with_throttle_time_ms(client.throttle_ms().max(of_group));
            return Ok(Fetched { response, records: looked.records });
        }
        if looked.held {
            let again = (Instant::now() + LOOK_AGAIN).min(deadline);
            let _ = timeout_at(again, client.closing()).await; // an error means that it is time
            continue;
        }
        let grown = client.broker().grown(&session, &looked.places, turn.reach);
        tokio::select! {
            _ = timeout_at(deadline, grown) => {}
            () = client.closing() => {}
        }
    }
}

/// While a quota is used up: a raised one, or a place that another request has given back, is noticed after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One look at all partitions.
#[derive(Default)]
struct Looked {
    topics: Vec<FetchableTopicResponse>,
    /// Those of all partitions, in their order.
    records: Vec<Pieces>,
    bytes: usize,
    /// The most that one batch of them has.
    largest: usize,
    /// A partition cannot be read: the client should know at once.
    failed: bool,
    /// A partition may not be read yet, because a quota is used up.
    held: bool,
    /// Where more would come.
    places: Vec<(TopicName, QueueId, Offset)>,
}

struct Turn<'a> {
    client: &'a Client,
    session: &'a Session,
    version: i16,
    reach: Reach,
    /// For whose quota it counts, too.
    group: Option<GroupName>,
}

impl Turn<'_> {
    async fn look(&mut self, topics: &[FetchTopic], max: usize) -> Looked {
        let mut looked = Looked { topics: Vec::with_capacity(topics.len()), ..Looked::default() };
        for topic in topics {
            let name = self.name(topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let room = max.saturating_sub(looked.bytes);
                let read = match &name {
                    Ok(name) => self.read(name, asked, room, &looked).await,
                    Err(code) => Err((*code, 0)),
                };
                partitions.push(self.tell(asked, read, name.as_ref().ok(), &mut looked));
            }
            let mut told = FetchableTopicResponse::default().with_partitions(partitions);
            match self.version >= BY_ID {
                true => told.topic_id = topic.topic_id,
                false => told.topic = topic.topic.clone(),
            }
            looked.topics.push(told);
        }
        looked
    }

    fn name(&self, topic: &FetchTopic) -> Result<TopicName, Code> {
        if self.version < BY_ID {
            return names::topic(&topic.topic).ok_or(Code::InvalidTopic);
        }
        let ids = &self.client.wire.topic_ids;
        ids.topic(self.client.broker(), self.session, topic.topic_id).ok_or(Code::UnknownTopicId)
    }

    fn tell(
        &self,
        asked: &FetchPartition,
        read: Result<ReadPart, (Code, Offset)>,
        name: Option<&TopicName>,
        looked: &mut Looked,
    ) -> PartitionData {
        let mut told = PartitionData::default()
            .with_partition_index(asked.partition)
            .with_aborted_transactions((self.reach == Reach::Decided).then(Vec::new))
            .with_preferred_read_replica(BrokerId(-1))
            .with_records(Some(Bytes::new()));
        match read {
            Ok(part) => {
                told.high_watermark = part.end as i64;
                told.last_stable_offset = part.stable as i64;
                if let Some(told) = &mut told.aborted_transactions {
                    told.extend(part.aborted.iter().filter_map(aborted));
                }
                if self.version >= 5 {
                    told.log_start_offset = part.begin as i64;
                }
                looked.bytes += part.records.len();
                looked.largest = looked.largest.max(part.largest);
                looked.held |= part.held;
                if let (Some(name), Ok(queue)) = (name, u32::try_from(asked.partition)) {
                    // Behind all that is there: what does not fit into this answer is no news.
                    looked.places.push((name.clone(), QueueId(queue), part.limit(self.reach)));
                }
                looked.records.push(part.records);
            }
            Err((code, begin)) => {
                looked.failed = true;
                looked.records.push(Pieces::default());
                told.error_code = code.number();
                told.high_watermark = -1;
                told.last_stable_offset = -1;
                if self.version >= 5 {
                    told.log_start_offset = if code == Code::OffsetOutOfRange { begin as i64 } else { -1 };
                }
            }
        }
        told
    }

    /// What a partition has from an offset on. At least one batch where nothing was found yet, whatever its size. Where
    /// there is not room for another like those before, nothing is read in vain.
    async fn read(
        &self,
        topic: &TopicName,
        asked: &FetchPartition,
        room: usize,
        before: &Looked,
    ) -> Result<ReadPart, (Code, Offset)> {
        let queue = partition(asked.partition).map_err(|code| (code, 0))?;
        same_epoch(asked.current_leader_epoch).map_err(|code| (code, 0))?;
        let broker = self.client.broker();
        let bounds = broker.whole_bounds(self.session, topic, queue);
        let LogBounds { min: begin, stable, end } =
            bounds.map_err(|error| (Code::of_partition(&error), 0))?;
        let from = u64::try_from(asked.fetch_offset).map_err(|_| (Code::OffsetOutOfRange, begin))?;
        if !(begin..=end).contains(&from) {
            return Err((Code::OffsetOutOfRange, begin));
        }
        let room = room.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
        let (records, aborted, first) = (Pieces::default(), Vec::new(), before.bytes == 0);
        let mut part = ReadPart { records, largest: 0, begin, stable, end, aborted, held: false };
        if from >= part.limit(self.reach) || (!first && room < before.largest) {
            // Whether it may be read at all is said even when there is nothing to read.
            part.held = self.pull(topic, queue, end, 0).await.map_err(|code| (code, begin))?.is_none();
            return Ok(part);
        }
        let mut taken = Taken::new(from, broker.config().max_message_size.bytes(), first);
        while !taken.is_full(room) {
            let left = room.saturating_sub(taken.len());
            let pulled = self.pull(topic, queue, taken.next, left).await.map_err(|code| (code, begin))?;
            let Some(pulled) = pulled else {
                part.held = true;
                break;
            };
            (part.begin, part.stable, part.end) = (pulled.min, pulled.stable, pulled.max);
            // Nothing at all, and not only nothing that this reader is to see.
            if pulled.parts.is_empty() && pulled.next <= taken.next {
                break;
            }
            let has_room = taken.take(pulled, room).map_err(|code| (code, begin))?;
            if !has_room || taken.next >= part.limit(self.reach) {
                break;
            }
        }
        part.largest = taken.largest();
        part.aborted = std::mem::take(&mut taken.aborted);
        part.records = taken.finish();
        Ok(part)
    }

    /// Nothing while a quota is used up: clients know no error for that in this place, and some end over one.
    async fn pull(
        &self,
        topic: &TopicName,
        queue: QueueId,
        offset: Offset,
        room: usize,
    ) -> Result<Option<PulledPacked>, Code> {
        let request = PackedPull {
            topic,
            queue,
            offset,
            max: PackedBatch::MAX_COUNT,
            max_bytes: room,
            group: self.group.as_ref(),
            reach: self.reach,
        };
        match self.client.broker().pull_packed(self.session, &request).await {
            Ok(pulled) => Ok(Some(pulled)),
            Err(error) if error.kind() == ErrorKind::Throttled => Ok(None),
            Err(error) => Err(Code::of_partition(&error)),
        }
    }
}

/// What was read of one partition.
struct ReadPart {
    records: Pieces,
    /// The most that one batch of them has.
    largest: usize,
    begin: Offset,
    /// The offset behind all that is decided, and the one behind everything.
    stable: Offset,
    end: Offset,
    /// For readers of what is decided.
    aborted: Vec<Aborted>,
    /// A quota keeps the rest back.
    held: bool,
}

impl ReadPart {
    /// Behind everything that a reader is to see.
    fn limit(&self, reach: Reach) -> Offset {
        match reach {
            Reach::Decided => self.stable,
            Reach::Everything => self.end,
        }
    }
}

fn aborted(aborted: &Aborted) -> Option<AbortedTransaction> {
    let producer = ProducerId(i64::try_from(aborted.producer).ok()?);
    let first = i64::try_from(aborted.first).ok()?;
    Some(AbortedTransaction::default().with_producer_id(producer).with_first_offset(first))
}
