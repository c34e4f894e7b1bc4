//! Kafka: Produce (version 7, `acks=all`) and Fetch (version 4), versions that every broker in use speaks.

use super::kafka_batch::{batch, count, int};
use crate::{Result, Wire, length_prefixed};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A request of so many records to the partition that is the connection's.
pub struct KafkaProduce {
    pub batch: usize,
    pub queues: u32,
}

const PRODUCE: (i16, i16) = (0, 7);
const FETCH: (i16, i16) = (1, 4);
const CREATE_TOPICS: (i16, i16) = (19, 2);
const ACKS_ALL: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;
/// How long a topic may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of one answer.
const FETCH_BYTES: i32 = 1 << 20;
const TOPIC_EXISTS: i16 = 36;

impl Wire for KafkaProduce {
    fn prepare(&self, address: SocketAddr, topic: &str) -> Result {
        if !create_topic(address, topic, self.queues)? {
            return Ok(()); // it was ready for an earlier run
        }
        // A partition takes a moment to have a leader: until each of them takes what it gets.
        let started = Instant::now();
        for queue in 0..self.queues {
            let mut request = Vec::new();
            produce(topic, queue, &batch(b"ready", 1), &mut request);
            loop {
                let answer = call(address, &request)?;
                match self.answer(&answer) {
                    Ok(_) => break,
                    Err(error) if started.elapsed() > READY_WITHIN => return Err(error),
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        }
        Ok(())
    }

    fn request_of(&self, connection: usize, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        produce(topic, connection as u32 % self.queues, &batch(body, self.batch), out);
    }

    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        self.request_of(0, topic, body, out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = length_prefixed(bytes) else { return Ok(None) };
        // Correlation, one topic by its name, one partition: its number and the error.
        let name = frame.get(8..10).map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
        let at = 10 + usize::from(name) + 4 + 4;
        match frame.get(at..at + 2) {
            Some([0, 0]) => Ok(Some(4 + frame.len())),
            error => Err(format!("refused with error {error:?}").into()),
        }
    }

    fn messages(&self, _answer: &[u8]) -> u64 {
        self.batch as u64
    }

    /// To the next partition.
    fn go_on(&self, _answer: &[u8], request: &mut [u8]) {
        let name = request.get(NAME..NAME + 2).map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
        let at = NAME + 2 + usize::from(name) + 4;
        let Some(queue) = int(request, at) else { return };
        if let Some(place) = request.get_mut(at..at + 4) {
            place.copy_from_slice(&((queue + 1) % self.queues).to_be_bytes());
        }
    }
}

/// Where the topic's name stands in a Produce request, with its length.
const NAME: usize = 4 + 14 + 2 + 2 + 4 + 4;

fn produce(topic: &str, queue: u32, records: &[u8], out: &mut Vec<u8>) {
    frame(PRODUCE, out, |out| {
        out.extend((-1i16).to_be_bytes()); // no transaction
        out.extend(ACKS_ALL.to_be_bytes());
        out.extend(TIMEOUT_MS.to_be_bytes());
        out.extend(1u32.to_be_bytes());
        string(topic, out);
        out.extend(1u32.to_be_bytes());
        out.extend(queue.to_be_bytes());
        out.extend((records.len() as u32).to_be_bytes());
        out.extend(records);
    });
}

/// Reads the connection's partition from its beginning, and from there again at its end.
pub struct KafkaFetch {
    pub queues: u32,
}

/// Where the offset stands, from the end of a request.
const OFFSET_FROM_END: usize = 12;

impl Wire for KafkaFetch {
    fn request_of(&self, connection: usize, topic: &str, _body: &[u8], out: &mut Vec<u8>) {
        frame(FETCH, out, |out| {
            out.extend((-1i32).to_be_bytes()); // no replica
            out.extend(0u32.to_be_bytes()); // waits for nothing
            out.extend(1u32.to_be_bytes());
            out.extend(FETCH_BYTES.to_be_bytes());
            out.push(0); // everything, committed or not
            out.extend(1u32.to_be_bytes());
            string(topic, out);
            out.extend(1u32.to_be_bytes());
            out.extend((connection as u32 % self.queues).to_be_bytes());
            out.extend(0u64.to_be_bytes());
            out.extend(FETCH_BYTES.to_be_bytes());
        });
    }

    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        self.request_of(0, topic, body, out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = length_prefixed(bytes) else { return Ok(None) };
        match error_and_records(frame) {
            Some((0, _)) => Ok(Some(4 + frame.len())),
            other => Err(format!("refused with error {:?}", other.map(|(error, _)| error)).into()),
        }
    }

    fn messages(&self, answer: &[u8]) -> u64 {
        error_and_records(answer.get(4..).unwrap_or_default()).map_or(0, |(_, records)| count(records).0)
    }

    fn go_on(&self, answer: &[u8], request: &mut [u8]) {
        let found = error_and_records(answer.get(4..).unwrap_or_default());
        let next = found.and_then(|(_, records)| count(records).1).unwrap_or(0);
        let place = request.len().checked_sub(OFFSET_FROM_END).and_then(|at| request.get_mut(at..at + 8));
        if let Some(place) = place {
            place.copy_from_slice(&next.to_be_bytes());
        }
    }
}

/// Of a Fetch answer about one partition, without its length.
fn error_and_records(frame: &[u8]) -> Option<(u16, &[u8])> {
    // Correlation, throttle time, topics; the name; partitions; number, error, two offsets; aborted transactions.
    let name = usize::from(u16::from_be_bytes(*frame.get(12..)?.first_chunk()?));
    let partition = 14 + name + 4;
    let error = u16::from_be_bytes(*frame.get(partition + 4..)?.first_chunk()?);
    let aborted = partition + 4 + 2 + 8 + 8;
    let count = int(frame, aborted)? as i32;
    let records = aborted + 4 + 16 * usize::try_from(count).unwrap_or(0);
    let length = int(frame, records)? as i32;
    let length = usize::try_from(length).unwrap_or(0);
    Some((error, frame.get(records + 4..records + 4 + length)?))
}

/// A request for a topic of so many partitions.
pub fn create_topic_request(topic: &str, partitions: u32) -> Vec<u8> {
    let mut request = Vec::new();
    frame(CREATE_TOPICS, &mut request, |out| {
        out.extend(1u32.to_be_bytes());
        string(topic, out);
        out.extend(partitions.to_be_bytes());
        out.extend(1u16.to_be_bytes()); // one replica
        out.extend([0; 8]); // no assignment, no settings
        out.extend(TIMEOUT_MS.to_be_bytes());
        out.push(0); // not only a check
    });
    request
}

/// Makes a topic; false when it is there already.
fn create_topic(address: SocketAddr, topic: &str, partitions: u32) -> Result<bool> {
    let answer = call(address, &create_topic_request(topic, partitions))?;
    let at = 4 + 4 + 4 + 4 + 2 + topic.len();
    match answer.get(at..at + 2).map(|code| i16::from_be_bytes([code[0], code[1]])) {
        Some(0) => Ok(true),
        Some(TOPIC_EXISTS) => Ok(false),
        error => Err(format!("the topic {topic} is not made: error {error:?}").into()),
    }
}

fn call(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READY_WITHIN))?;
    stream.write_all(request)?;
    let mut answer = vec![0; 4];
    stream.read_exact(&mut answer)?;
    let length = int(&answer, 0).unwrap_or(0) as usize;
    answer.resize(4 + length.min(1 << 20), 0);
    stream.read_exact(answer.get_mut(4..).unwrap_or_default())?;
    Ok(answer)
}

fn frame((key, version): (i16, i16), out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(key.to_be_bytes());
    out.extend(version.to_be_bytes());
    out.extend(7u32.to_be_bytes()); // correlation
    string("load", out);
    body(out);
    let length = ((out.len() - start - 4) as u32).to_be_bytes();
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length);
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_goes_on_with_the_next_partition() {
        let wire = KafkaProduce { batch: 1, queues: 3 };
        let (mut one, mut next) = (Vec::new(), Vec::new());
        wire.request_of(2, "topic", b"x", &mut one);
        wire.request_of(0, "topic", b"x", &mut next);
        assert_ne!(one, next);
        wire.go_on(&[], &mut one);
        assert_eq!(one, next);
    }

    #[test]
    fn a_fetch_goes_on_behind_the_last_record() {
        let fetch = KafkaFetch { queues: 1 };
        let mut request = Vec::new();
        fetch.request("t", &[], &mut request);
        let records = batch(b"x", 5);
        let mut answer = vec![0; 4 + 4 + 4];
        answer.extend([0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1]);
        answer.extend([0; 4 + 2 + 8 + 8]);
        answer.extend((-1i32).to_be_bytes());
        answer.extend((records.len() as u32).to_be_bytes());
        answer.extend(&records);
        let length = (answer.len() as u32 - 4).to_be_bytes();
        answer[..4].copy_from_slice(&length);
        assert_eq!(fetch.answer(&answer).unwrap(), Some(answer.len()));
        assert_eq!(fetch.messages(&answer), 5);
        fetch.go_on(&answer, &mut request);
        let at = request.len() - OFFSET_FROM_END;
        assert_eq!(request[at..at + 8], 5u64.to_be_bytes());
    }
}
