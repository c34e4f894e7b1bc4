//! HTTP/1.1: a POST of the body as it is.

use crate::{Result, Wire, find};
use serde_json::Value;

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

/// The length of an HTTP answer with its body, once it is complete.
pub fn http_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(bytes.get(..head).unwrap_or_default())?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let body: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
    let total = head + 4 + body;
    Ok((bytes.len() >= total).then_some(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_they_end() {
        let http = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}HTTP";
        assert_eq!(Http.answer(http).unwrap(), Some(http.len() - 4));
        assert_eq!(Http.answer(&http[..40]).unwrap(), None);
        assert!(Http.answer(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
