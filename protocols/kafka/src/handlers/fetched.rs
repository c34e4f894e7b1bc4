//! The answer to a fetch as bytes, in which stored records stay where they are.
//!
//! It exists because the library copies records into what it encodes. The one idea to know: records are the last field of a
//! partition, so a partition is encoded by the library without any, and what stands for "none" at its end is replaced.

use crate::api::Answer;
use crate::batch::put_unsigned;
use crate::codec::{Call, begin_response, finish_response};
use crate::pieces::Pieces;
use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use sluice_net::Output;

/// The first version in which an answer has an error of its own.
const WITH_ERROR: i16 = 7;
/// The first flexible version, and the first one that names topics by their ids.
const FLEXIBLE: i16 = 12;
const BY_ID: i16 = 13;

/// An answer without records, and the records of its partitions in their order.
pub(crate) struct Fetched {
    pub response: FetchResponse,
    pub records: Vec<Pieces>,
}

impl Fetched {
    /// The answer on its way.
    pub fn respond(self, call: &Call) -> Answer {
        match self.encode(call) {
            Some(output) => Answer::Respond(output),
            None => {
                tracing::error!(version = call.version, "a response to a fetch cannot be encoded");
                Answer::Close(None, "a response cannot be encoded")
            }
        }
    }

    fn encode(self, call: &Call) -> Option<Output> {
        let version = call.version;
        let is_flexible = version >= FLEXIBLE;
        let head = begin_response(call.correlation, FetchResponse::header_version(version) >= 1, 64);
        let (mut out, mut records) = (Pieces::default(), self.records.into_iter());
        let mut some = BytesMut::new();
        some.put_i32(self.response.throttle_time_ms);
        if version >= WITH_ERROR {
            some.put_i16(self.response.error_code);
            some.put_i32(self.response.session_id);
        }
        put_count(&mut some, self.response.responses.len(), is_flexible);
        for topic in &self.response.responses {
            match version >= BY_ID {
                true => some.put_slice(topic.topic_id.as_bytes()),
                false => {
                    let name = topic.topic.as_bytes();
                    match is_flexible {
                        true => put_unsigned(&mut some, name.len() as u32 + 1),
                        false => some.put_i16(i16::try_from(name.len()).ok()?),
                    }
                    some.put_slice(name);
                }
            }
            put_count(&mut some, topic.partitions.len(), is_flexible);
            for partition in &topic.partitions {
                put_partition(&mut some, partition, version)?;
                let records = records.next().unwrap_or_default();
                match is_flexible {
                    true => put_unsigned(&mut some, u32::try_from(records.len()).ok()?.checked_add(1)?),
                    false => some.put_i32(i32::try_from(records.len()).ok()?),
                }
                out.copy(&some.split());
                out.append(records);
                put_no_tags(&mut some, is_flexible);
            }
            put_no_tags(&mut some, is_flexible);
        }
        put_no_tags(&mut some, is_flexible);
        out.copy(&some);
        let head = finish_response(head, out.len());
        let parts: Vec<Bytes> = std::iter::once(head).chain(out.into_parts()).collect();
        Some(parts.into())
    }
}

/// A partition up to its records.
fn put_partition(out: &mut BytesMut, partition: &PartitionData, version: i16) -> Option<()> {
    partition.encode(out, version).ok()?;
    // No bytes, and no tags.
    let none: &[u8] = if version >= FLEXIBLE { &[1, 0] } else { &[0; 4] };
    let len = out.strip_suffix(none)?.len();
    out.truncate(len);
    Some(())
}

fn put_count(out: &mut BytesMut, count: usize, is_flexible: bool) {
    match is_flexible {
        true => put_unsigned(out, count as u32 + 1),
        false => out.put_i32(count as i32),
    }
}

fn put_no_tags(out: &mut BytesMut, is_flexible: bool) {
    if is_flexible {
        out.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse};
    use kafka_protocol::messages::{BrokerId, TopicName};

    /// The answer is, byte by byte, what the library makes of the same records.
    #[test]
    fn it_is_as_the_library_writes_it() {
        for version in 4..=17 {
            for sizes in [&[][..], &[0, 10, 5000, 3, 100_000, 2048]] {
                let mut whole = FetchResponse::default().with_throttle_time_ms(5);
                let mut records = Vec::new();
                for (number, sizes) in sizes.chunks(2).enumerate() {
                    let mut topic = FetchableTopicResponse::default();
                    match version >= BY_ID {
                        true => topic.topic_id = uuid::Uuid::from_u128(number as u128 + 1),
                        false => topic.topic = TopicName("some.topic".into()),
                    }
                    for size in sizes {
                        let bytes = Bytes::from(vec![number as u8; *size]);
                        let mut pieces = Pieces::default();
                        pieces.push(bytes.slice(..size / 2));
                        pieces.push(bytes.slice(size / 2..));
                        records.push(pieces);
                        let aborted = AbortedTransaction::default().with_first_offset(7);
                        topic.partitions.push(
                            PartitionData::default()
                                .with_partition_index(*size as i32)
                                .with_high_watermark(9)
                                .with_aborted_transactions((size % 2 == 0).then(|| vec![aborted]))
                                .with_preferred_read_replica(BrokerId(-1))
                                .with_records(Some(bytes)),
                        );
                    }
                    whole.responses.push(topic);
                }
                let mut response = whole.clone();
                let parts = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
                parts.for_each(|part| part.records = Some(Bytes::new()));
                let call = Call { key: 1, version, correlation: 77, client_id: None, rest: Bytes::new() };
                let (Answer::Respond(theirs), Answer::Respond(ours)) =
                    (call.respond(&whole), Fetched { response, records }.respond(&call))
                else {
                    panic!("v{version} cannot be encoded")
                };
                assert_eq!(ours.to_bytes(), theirs.to_bytes(), "v{version}");
            }
        }
    }
}
