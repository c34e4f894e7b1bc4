//! STOMP 1.2: SEND with a receipt, and messages that are sent, received and acknowledged.

use crate::{Result, Wire, contains, find};

/// SEND with a receipt.
pub struct Stomp;

const CONNECT: &[u8] =
    b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0";

impl Wire for Stomp {
    fn greeting(&self, _topic: &str) -> Vec<u8> {
        CONNECT.to_vec()
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

/// A message is sent, received by the same connection and acknowledged, with a receipt for both; each connection has a
/// queue of its own.
pub struct StompCycle;

impl Wire for StompCycle {
    fn greeting(&self, topic: &str) -> Vec<u8> {
        let subscribe = format!(
            "SUBSCRIBE\nid:0\ndestination:/queue/{topic}\nack:client-individual\nprefetch-count:16\n\n\0"
        );
        [CONNECT, subscribe.as_bytes()].concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_end() {
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
