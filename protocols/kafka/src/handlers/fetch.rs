//! Fetch: batches from the log, waiting for some if there are none.
//!
//! The one idea to know: partitions are walked in the order of the request, each takes of the room that is left, and the
//! first that has anything gives at least one record, so that a reader always gets on. While too little is there the
//! request waits for any of its partitions to grow, and looks again.
//!
//! Sessions are not kept: every answer says so, and clients then name all partitions each time.

use crate::api::{Fatal, Head};
use crate::batch::BatchWriter;
use crate::client::Client;
use crate::convert;
use crate::errors::Code;
use crate::handlers::{partition, same_epoch};
use crate::names;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use sluice_auth::Session;
use sluice_broker::PullRequest;
use sluice_model::{Filter, Offset, QueueId, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A reader that takes only what is committed.
const READ_COMMITTED: i8 = 1;
/// Requests that name a session: none is kept.
const NO_SESSION: i32 = 0;
/// The first version that names topics by their ids.
const BY_ID: i16 = 13;

pub(crate) async fn fetch(
    client: Arc<Client>,
    head: Head,
    request: FetchRequest,
) -> Result<FetchResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    if request.session_id != NO_SESSION {
        return Ok(FetchResponse::default().with_error_code(Code::FetchSessionIdNotFound.number()));
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(client.broker().config().max_wait.0);
    let max = usize::try_from(request.max_bytes).unwrap_or(0).min(client.config().max_fetch.bytes());
    let min = usize::try_from(request.min_bytes).unwrap_or(0).min(max);
    let mut turn = Turn {
        client: &client,
        session: &session,
        version: head.version,
        committed: request.isolation_level == READ_COMMITTED,
    };
    loop {
        let looked = turn.look(&request.topics, max).await;
        let enough = looked.bytes >= min || looked.failed || looked.places.is_empty();
        if enough || Instant::now() >= deadline || client.is_closing() {
            return Ok(FetchResponse::default().with_responses(looked.topics).with_session_id(NO_SESSION));
        }
        let grown = client.broker().grown(&session, &looked.places);
        tokio::select! {
            _ = timeout_at(deadline, grown) => {}
            () = client.closing() => {}
        }
    }
}

/// One look at all partitions.
struct Looked {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// A partition cannot be read: the client should know at once.
    failed: bool,
    /// Where more would come.
    places: Vec<(TopicName, QueueId, Offset)>,
}

struct Turn<'a> {
    client: &'a Client,
    session: &'a Session,
    version: i16,
    committed: bool,
}

impl Turn<'_> {
    async fn look(&mut self, topics: &[FetchTopic], max: usize) -> Looked {
        let mut looked =
            Looked { topics: Vec::with_capacity(topics.len()), bytes: 0, failed: false, places: Vec::new() };
        for topic in topics {
            let name = self.name(topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let room = max.saturating_sub(looked.bytes);
                let read = match &name {
                    Ok(name) => self.read(name, asked, room, looked.bytes == 0).await,
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
            .with_aborted_transactions(self.committed.then(Vec::new))
            .with_preferred_read_replica(BrokerId(-1))
            .with_records(Some(Bytes::new()));
        match read {
            Ok(part) => {
                told.high_watermark = part.end as i64;
                told.last_stable_offset = part.end as i64;
                if self.version >= 5 {
                    told.log_start_offset = part.begin as i64;
                }
                looked.bytes += part.records.len();
                if let (Some(name), Ok(queue)) = (name, u32::try_from(asked.partition)) {
                    // Behind all that is there: what does not fit into this answer is no news.
                    looked.places.push((name.clone(), QueueId(queue), part.end));
                }
                told.records = Some(part.records);
            }
            Err((code, begin)) => {
                looked.failed = true;
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

    /// What a partition has from an offset on. At least one record where `first` says so, whatever its size.
    async fn read(
        &self,
        topic: &TopicName,
        asked: &FetchPartition,
        room: usize,
        first: bool,
    ) -> Result<ReadPart, (Code, Offset)> {
        let queue = partition(asked.partition).map_err(|code| (code, 0))?;
        same_epoch(asked.current_leader_epoch).map_err(|code| (code, 0))?;
        let broker = self.client.broker();
        let (begin, end) =
            broker.bounds(self.session, topic, queue).map_err(|error| (Code::of_partition(&error), 0))?;
        let from = u64::try_from(asked.fetch_offset).map_err(|_| (Code::OffsetOutOfRange, begin))?;
        if !(begin..=end).contains(&from) {
            return Err((Code::OffsetOutOfRange, begin));
        }
        let room = room.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
        let mut part = ReadPart { records: Bytes::new(), begin, end, next: from };
        if from == end || (room == 0 && !first) {
            // Whether it may be read at all is said even when there is nothing to read.
            return self.pull(topic, queue, end, 0).await.map(|_| part).map_err(|code| (code, begin));
        }
        let mut batches = BytesMut::new();
        while batches.is_empty() || batches.len() < room {
            let pulled = self
                .pull(topic, queue, part.next, room - batches.len().min(room))
                .await
                .map_err(|code| (code, begin))?;
            (part.begin, part.end) = (pulled.min, pulled.max);
            let Some(head) = pulled.messages.first() else { break };
            let mut writer = BatchWriter::new(head.offset as i64, head.message.born as i64, 0);
            let limit = broker.config().max_message_size.bytes();
            let mut next = part.next;
            for message in &pulled.messages {
                convert::push_record(&mut writer, message, limit)
                    .map_err(|error| (Code::of_partition(&error), begin))?;
                next = message.offset + 1;
                if batches.len() + writer.len() >= room {
                    break;
                }
            }
            let is_all = pulled.messages.last().is_none_or(|last| last.offset + 1 == next);
            part.next = if is_all { pulled.next.max(next) } else { next };
            if !batches.is_empty() && batches.len() + writer.len() > room {
                part.next = head.offset;
                break;
            }
            batches.extend_from_slice(&writer.finish(part.next as i64 - 1));
            if part.next >= part.end {
                break;
            }
        }
        part.records = batches.freeze();
        Ok(part)
    }

    async fn pull(
        &self,
        topic: &TopicName,
        queue: QueueId,
        offset: Offset,
        room: usize,
    ) -> Result<sluice_broker::Pulled, Code> {
        let request = PullRequest {
            topic,
            queue,
            offset,
            max: self.client.broker().config().max_fetch,
            max_bytes: room,
            filter: &Filter::All,
            group: None,
            wait: Duration::ZERO,
        };
        self.client.broker().pull(self.session, &request).await.map_err(|error| Code::of_partition(&error))
    }
}

/// What was read of one partition.
struct ReadPart {
    records: Bytes,
    begin: Offset,
    end: Offset,
    /// The offset behind what was read.
    next: Offset,
}
