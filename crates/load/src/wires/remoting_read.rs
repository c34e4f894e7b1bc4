//! RocketMQ's TCP protocol, reading: PULL_MESSAGE by offset, and POP_MESSAGE with its BATCH_ACK_MESSAGE.

use super::Remoting;
use crate::{Result, Wire, find, length_prefixed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;

/// Reads one queue from its beginning, and from there again at its end: as many groups as are asked for, each with its
/// share of the connections.
pub struct Pull {
    pub queues: u32,
    pub groups: usize,
}

const FOUND: i64 = 0;
/// At the end, or somewhere else than there is something.
const ELSEWHERE: [i64; 3] = [19, 20, 21];
/// Where the offset stands in a request, in so many digits that any fits.
const OFFSET: &[u8] = b"\"queueOffset\":\"";
const DIGITS: usize = 19;
/// A subscription comes along; nobody waits.
const FLAGS: u32 = 4;

impl Wire for Pull {
    fn request_of(&self, connection: usize, topic: &str, _body: &[u8], out: &mut Vec<u8>) {
        let (group, queue) = (connection % self.groups, (connection / self.groups) as u32 % self.queues);
        let fields = format!(
            r#""consumerGroup":"load-{group}","topic":"{topic}","queueId":"{queue}","queueOffset":"{:019}","maxMsgNums":"32","sysFlag":"{FLAGS}","commitOffset":"0","suspendTimeoutMillis":"0","subscription":"*","subVersion":"1","expressionType":"TAG""#,
            0
        );
        Remoting::frame(11, 7, &fields, &[], out);
    }

    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        self.request_of(0, topic, body, out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = length_prefixed(bytes) else { return Ok(None) };
        let code = Remoting::header(bytes).and_then(|header| header["code"].as_i64()).unwrap_or(-1);
        if code != FOUND && !ELSEWHERE.contains(&code) {
            return Err(format!("refused: {}", String::from_utf8_lossy(frame)).into());
        }
        Ok(Some(4 + frame.len()))
    }

    fn messages(&self, answer: &[u8]) -> u64 {
        let mut rest = Remoting::body(answer).unwrap_or_default();
        let mut count = 0;
        // The length of a record counts itself.
        while let Some((length, _)) = rest.split_first_chunk::<4>() {
            rest = rest.get(u32::from_be_bytes(*length).max(4) as usize..).unwrap_or_default();
            count += 1;
        }
        count
    }

    fn go_on(&self, answer: &[u8], request: &mut [u8]) {
        let header = Remoting::header(answer).unwrap_or_default();
        let next = match header["code"].as_i64() {
            Some(FOUND) => header["extFields"]["nextBeginOffset"].as_str(),
            // At the end; where something is was said with it.
            _ => header["extFields"]["minOffset"].as_str(),
        };
        let next: u64 = next.and_then(|next| next.parse().ok()).unwrap_or(0);
        let place = find(request, OFFSET).map(|at| at + OFFSET.len());
        if let Some(digits) = place.and_then(|at| request.get_mut(at..at + DIGITS)) {
            digits.copy_from_slice(format!("{next:019}").as_bytes());
        }
    }
}

/// Receives under lease, and acknowledges all that came at once.
pub struct PopAck;

const POP: u32 = 200_050;
const BATCH_ACK: u32 = 200_151;
/// Nothing came within the time.
const NOTHING: [i64; 2] = [209, 210];

impl Wire for PopAck {
    fn request(&self, topic: &str, _body: &[u8], out: &mut Vec<u8>) {
        let fields = format!(
            r#""consumerGroup":"load-pop","topic":"{topic}","queueId":"-1","maxMsgNums":"32","invisibleTime":"60000","pollTime":"1000","bornTime":"{}","initMode":"0","expType":"TAG","exp":"*","order":"false""#,
            super::born()
        );
        Remoting::frame(POP, 0, &fields, &[], out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = length_prefixed(bytes) else { return Ok(None) };
        let code = Remoting::header(bytes).and_then(|header| header["code"].as_i64()).unwrap_or(-1);
        if code != 0 && !NOTHING.contains(&code) {
            return Err(format!("refused: {}", String::from_utf8_lossy(frame)).into());
        }
        Ok(Some(4 + frame.len()))
    }

    fn ends(&self, answer: &[u8], out: &mut Vec<u8>) -> bool {
        let header = Remoting::header(answer).unwrap_or_default();
        let fields = &header["extFields"];
        // Only a pop says which offsets came.
        let Some(offsets) = fields["msgOffsetInfo"].as_str() else { return true };
        // An answer names no topic; a check point does, but its own is not needed: the request's is in every record.
        let Some(topic) = topic_of(answer) else { return true };
        let (mut acks, mut count) = (String::new(), 0);
        for queue in offsets.split(';') {
            let words: Vec<&str> = queue.split(' ').collect();
            let [retry, queue, offsets] = words[..] else { continue };
            let offsets: Vec<u64> = offsets.split(',').filter_map(|offset| offset.parse().ok()).collect();
            let Some(first) = offsets.iter().min() else { continue };
            count += offsets.len() as u64;
            let comma = if acks.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(
                acks,
                r#"{comma}{{"c":"load-pop","t":"{topic}","r":"{retry}","q":{queue},"rq":0,"so":{first},"pt":0,"it":60000,"b":"{}"}}"#,
                STANDARD.encode(bits(*first, &offsets))
            );
        }
        let body = format!(r#"{{"brokerName":"load","acks":[{acks}]}}"#);
        // The answer to this says nothing of how many there were but for its number.
        Remoting::frame(BATCH_ACK, count, "", body.as_bytes(), out);
        false
    }

    fn messages(&self, answer: &[u8]) -> u64 {
        Remoting::header(answer).and_then(|header| header["opaque"].as_u64()).unwrap_or(0)
    }
}

/// A bit for each offset, from the first on.
fn bits(first: u64, offsets: &[u64]) -> Vec<u8> {
    let mut bits = Vec::new();
    for at in offsets.iter().map(|offset| (offset - first) as usize) {
        if bits.len() <= at / 8 {
            bits.resize(at / 8 + 1, 0);
        }
        if let Some(byte) = bits.get_mut(at / 8) {
            *byte |= 1 << (at % 8);
        }
    }
    bits
}

/// The topic of the first record: a length of one byte and the name, behind the body.
fn topic_of(answer: &[u8]) -> Option<&str> {
    /// From the beginning of a record to the length of its body, hosts of four bytes.
    const BODY: usize = 84;
    let record = Remoting::body(answer)?;
    let (length, rest) = record.get(BODY..)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.get(u32::from_be_bytes(*length) as usize..)?.split_first()?;
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_where_the_answer_says() {
        let mut request = Vec::new();
        let pull = Pull { queues: 4, groups: 2 };
        pull.request_of(3, "t", &[], &mut request);
        let text = String::from_utf8_lossy(&request).into_owned();
        assert!(text.contains(r#""queueId":"1""#) && text.contains("load-1"));
        let mut answer = Vec::new();
        let header = br#"{"code":0,"extFields":{"nextBeginOffset":"42"}}"#;
        answer.extend((8 + header.len() as u32).to_be_bytes());
        answer.extend((header.len() as u32).to_be_bytes());
        answer.extend(header);
        answer.extend(4u32.to_be_bytes());
        assert_eq!(pull.answer(&answer).unwrap(), Some(answer.len()));
        assert_eq!(pull.messages(&answer), 1);
        pull.go_on(&answer, &mut request);
        assert!(String::from_utf8_lossy(&request).contains("0000000000000000042"));
    }

    #[test]
    fn bits_are_counted_from_the_first_offset() {
        assert_eq!(bits(5, &[5, 6, 14]), [0b11, 0b10]);
    }
}
