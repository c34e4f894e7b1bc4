//! Blocking connections: bytes out, one whole answer in.

use super::Wire;
use super::wires::http_length;
use crate::shell::Result;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any long poll here.
const NO_ANSWER: Duration = Duration::from_secs(20);

/// A connection that answers one after the other.
pub struct Line {
    stream: TcpStream,
    incoming: Vec<u8>,
}

impl Line {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(NO_ANSWER))?;
        Ok(Self { stream, incoming: Vec::new() })
    }

    /// A connection after the wire's greeting.
    pub fn greeted(address: SocketAddr, wire: &dyn Wire) -> Result<Self> {
        let mut line = Self::open(address)?;
        let greeting = wire.greeting("");
        if !greeting.is_empty() {
            line.write(&greeting)?;
            line.read(|bytes| wire.answer(bytes))?;
        }
        Ok(line)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result {
        Ok(self.stream.write_all(bytes)?)
    }

    /// The next answer, whose end `length` finds.
    pub fn read(&mut self, length: impl Fn(&[u8]) -> Result<Option<usize>>) -> Result<Vec<u8>> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(length) = length(&self.incoming)? {
                return Ok(self.incoming.drain(..length).collect());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the connection was closed".into()),
                Ok(n) => self.incoming.extend(buffer.get(..n).unwrap_or_default()),
                // A wait with a time limit is interrupted when the process is stopped and goes on.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// One connection to the HTTP API, for questions answered in JSON.
pub struct HttpClient(Line);

impl HttpClient {
    pub fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self(Line::open(address)?))
    }

    pub fn get(&mut self, path: &str) -> Result<Value> {
        self.call("GET", path, "")
    }

    pub fn post(&mut self, path: &str, body: &str) -> Result<Value> {
        self.call("POST", path, body)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write(head.as_bytes())?;
        let answer = self.0.read(http_length)?;
        let text = std::str::from_utf8(&answer)?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("an answer without a head")?;
        if !head.starts_with("HTTP/1.1 2") {
            return Err(format!("{method} {path}: {text}").into());
        }
        Ok(serde_json::from_str(body).map_err(|error| format!("{method} {path}: {error}: {body}"))?)
    }
}
