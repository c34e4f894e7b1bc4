//! RocketMQ's TCP protocol: SEND_MESSAGE_V2 with a JSON header.

use crate::{Result, Wire, contains, length_prefixed};
use serde_json::Value;

pub struct Remoting;

impl Wire for Remoting {
    fn request(&self, topic: &str, body: &[u8], out: &mut Vec<u8>) {
        let fields = format!(
            r#""a":"load","b":"{topic}","c":"TBW102","d":"4","e":"-1","f":"0","g":"{}","h":"0","i":"","j":"0","k":"false","m":"false""#,
            super::born()
        );
        Self::frame(310, 7, &fields, body, out);
    }

    fn answer(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Some(frame) = length_prefixed(bytes) else { return Ok(None) };
        if !contains(frame, b"\"code\":0") {
            return Err(format!("refused: {}", String::from_utf8_lossy(frame)).into());
        }
        Ok(Some(4 + frame.len()))
    }

    fn place(&self, answer: &[u8]) -> Option<(u32, u64)> {
        let fields = &Self::header(answer)?["extFields"];
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
        Self::frame(15, 7, &fields, &[], &mut out);
        out
    }

    /// Where the log has the message of an answer: the last eight bytes of the id that names its place.
    pub fn log_place(&self, answer: &[u8]) -> Option<u64> {
        let header = Self::header(answer)?;
        let id = header["extFields"]["msgId"].as_str()?;
        u64::from_str_radix(id.get(id.len().checked_sub(16)?..)?, 16).ok()
    }

    pub(super) fn frame(code: u32, opaque: u64, fields: &str, body: &[u8], out: &mut Vec<u8>) {
        let header = format!(
            r#"{{"code":{code},"extFields":{{{fields}}},"flag":0,"language":"JAVA","opaque":{opaque},"version":479}}"#
        );
        out.extend(((4 + header.len() + body.len()) as u32).to_be_bytes());
        out.extend((header.len() as u32).to_be_bytes());
        out.extend(header.as_bytes());
        out.extend(body);
    }

    /// The header of a whole answer.
    pub(super) fn header(answer: &[u8]) -> Option<Value> {
        serde_json::from_slice(length_prefixed(answer.get(4..)?)?).ok()
    }

    /// What follows the header of a whole answer.
    pub(super) fn body(answer: &[u8]) -> Option<&[u8]> {
        let header = length_prefixed(answer.get(4..)?)?;
        answer.get(8 + header.len()..)
    }
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
    }
}
