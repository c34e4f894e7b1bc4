//! One request and its answer on each wire, as bytes.

use crate::shell::Result;
use serde_json::Value;

/// A wire as the load generator needs it: the same request again and again, and where its answer ends.
pub trait Wire {
    /// Bytes to send once after connecting; an answer follows when there are any.
    fn greeting(&self, _topic: &str) -> Vec<u8> {
        Vec::new()
    }

    /// Adds a request to `out`.
    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>);

    /// The length of the answer at the start of `bytes`, once it is complete; an error when it is a refusal.
    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>>;

    /// Whether each connection works on a topic of its own.
    fn is_private(&self) -> bool {
        false
    }

    /// Whether a request ends with this answer. When it goes on, what comes next is added to `out`.
    fn ends(&self, _answer: &[u8], _out: &mut Vec<u8>) -> bool {
        true
    }

    /// The queue and offset that an answer names, on wires that name them.
    fn place(&self, _answer: &[u8]) -> Option<(u32, u64)> {
        None
    }
}

/// RocketMQ's TCP protocol: SEND_MESSAGE_V2 with a JSON header.
pub struct Remoting;

impl Wire for Remoting {
    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        let fields = format!(
            r#""a":"load","b":"{topic}","c":"TBW102","d":"4","e":"-1","f":"0","g":"1700000000000","h":"0","i":"","j":"0","k":"false","m":"false""#
        );
        Self::frame(310, &fields, body, out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = length_prefixed(bytes) else { return Ok(None) };
        if !contains(frame, b"\"code\":0") {
            return Err(format!("refused: {}", String::from_utf8_lossy(frame)).into());
        }
        Ok(Some(4 + frame.len()))
    }

    fn place(&self, answer: &[u8]) -> Option<(u32, u64)> {
        let header = length_prefixed(answer.get(4..)?)?;
        let fields = &serde_json::from_slice::<Value>(header).ok()?["extFields"];
        Some((fields["queueId"].as_str()?.parse().ok()?, fields["queueOffset"].as_str()?.parse().ok()?))
    }
}

impl Remoting {
    /// A request that commits a group's offset.
    pub fn commit(group: &str, topic: &str, queue: u32, offset: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = format!(
            r#""consumerGroup":"{group}","topic":"{topic}","queueId":"{queue}","commitOffset":"{offset}""#
        );
        Self::frame(15, &fields, &[], &mut out);
        out
    }

    fn frame(code: u32, fields: &str, body: &[u8], out: &mut Vec<u8>) {
        let header = format!(
            r#"{{"code":{code},"extFields":{{{fields}}},"flag":0,"language":"JAVA","opaque":7,"version":409}}"#
        );
        out.extend(((4 + header.len() + body.len()) as u32).to_be_bytes());
        out.extend((header.len() as u32).to_be_bytes());
        out.extend(header.as_bytes());
        out.extend(body);
    }
}

/// HTTP/1.1: a POST of the body as it is.
pub struct Http;

impl Wire for Http {
    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        let head = format!(
            "POST /v1/topics/{topic}/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        out.extend(head.as_bytes());
        out.extend(body);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(length) = http_length(bytes)? else { return Ok(None) };
        if !bytes.starts_with(b"HTTP/1.1 201") {
            return Err(format!("refused: {}", String::from_utf8_lossy(bytes)).into());
        }
        Ok(Some(length))
    }

    fn place(&self, answer: &[u8]) -> Option<(u32, u64)> {
        let body = answer.get(find(answer, b"\r\n\r\n")? + 4..)?;
        let stored = serde_json::from_slice::<Value>(body).ok()?;
        Some((stored["queue"].as_u64()? as u32, stored["offset"].as_u64()?))
    }
}

/// STOMP 1.2: SEND with a receipt.
pub struct Stomp;

const STOMP_CONNECT: &[u8] =
    b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0";

impl Wire for Stomp {
    fn greeting(&self, _topic: &str) -> Vec<u8> {
        STOMP_CONNECT.to_vec()
    }

    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        // Other brokers write to the disk only what is marked as persistent.
        let head = format!(
            "SEND\ndestination:/queue/{topic}\npersistent:true\nreceipt:sent\ncontent-length:{}\n\n",
            body.len()
        );
        out.extend(head.as_bytes());
        out.extend(body);
        out.push(0);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return Ok(None) };
        let frame = bytes.get(..end).unwrap_or_default().trim_ascii_start();
        if frame.starts_with(b"ERROR") {
            return Err(format!("refused: {}", String::from_utf8_lossy(frame)).into());
        }
        // Line ends after a frame belong to it.
        let trailing = bytes.iter().skip(end + 1).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        Ok(Some(end + 1 + trailing))
    }
}

/// STOMP 1.2: a message is sent, received by the same connection and acknowledged, with a receipt for both; each
/// connection has a queue of its own.
pub struct StompCycle;

impl Wire for StompCycle {
    fn greeting(&self, topic: &str) -> Vec<u8> {
        let subscribe = format!(
            "SUBSCRIBE\nid:0\ndestination:/queue/{topic}\nack:client-individual\nprefetch-count:16\n\n\0"
        );
        [STOMP_CONNECT, subscribe.as_bytes()].concat()
    }

    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        Stomp.request(topic, body, out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        Stomp.answer(bytes)
    }

    fn is_private(&self) -> bool {
        true
    }

    fn ends(&self, answer: &[u8], out: &mut Vec<u8>) -> bool {
        let frame = answer.trim_ascii_start();
        if frame.starts_with(b"MESSAGE") {
            let id = find(frame, b"\nack:").and_then(|at| frame.get(at + 5..)?.split(|b| *b == b'\n').next());
            out.extend_from_slice(b"ACK\nreceipt:acked\nid:");
            out.extend(id.unwrap_or_default());
            out.extend(b"\n\n\0");
        }
        // The receipt of the SEND may come before the message or after it, and after that of the ACK never.
        frame.starts_with(b"RECEIPT") && contains(frame, b"acked")
    }
}

/// No protocol at all: a length and a body, answered by four bytes. See `bench::bare`.
pub struct Bare;

impl Wire for Bare {
    fn request(&self, _topic: &str, body: &[u8], out: &mut Vec<u8>) {
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        Ok((bytes.len() >= 4).then_some(4))
    }
}

/// The frame after a length of four bytes, once it is complete.
pub fn length_prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// The length of an HTTP answer with its body, once it is complete.
pub fn http_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..head).unwrap_or_default())?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let body: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
    let total = head + 4 + body;
    Ok((bytes.len() >= total).then_some(total))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_end() {
        let mut frame = Vec::new();
        frame.extend(21u32.to_be_bytes());
        frame.extend(17u32.to_be_bytes());
        frame.extend(br#"{"code":0,"x":12}"#);
        assert_eq!(Remoting.answer(&frame).unwrap(), Some(25));
        assert_eq!(Remoting.answer(&frame[..24]).unwrap(), None);
        frame[16] = b'1';
        assert!(Remoting.answer(&frame).is_err());

        let http = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}HTTP";
        assert_eq!(Http.answer(http).unwrap(), Some(http.len() - 4));
        assert_eq!(Http.answer(&http[..40]).unwrap(), None);
        assert!(Http.answer(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").is_err());

        assert_eq!(Stomp.answer(b"RECEIPT\nreceipt-id:r\n\n\0\n").unwrap(), Some(24));
        assert_eq!(Stomp.answer(b"RECEIPT\nreceipt-id:r\n\n").unwrap(), None);
        assert!(Stomp.answer(b"ERROR\n\n\0").is_err());
    }

    #[test]
    fn a_cycle_ends_with_the_receipt_of_its_acknowledgement() {
        let mut out = Vec::new();
        assert!(!StompCycle.ends(b"RECEIPT\nreceipt-id:sent\n\n\0", &mut out));
        assert!(out.is_empty());
        assert!(!StompCycle.ends(b"\nMESSAGE\nack:7\nmessage-id:x\n\nx\0", &mut out));
        assert_eq!(out, b"ACK\nreceipt:acked\nid:7\n\n\0");
        assert!(StompCycle.ends(b"RECEIPT\nreceipt-id:acked\n\n\0", &mut out));
    }
}
