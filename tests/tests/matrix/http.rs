//! HTTP/1.1 as it stands in a request.

use crate::wire::{Answer, Shown, Speaker};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

pub struct Http {
    stream: BufReader<TcpStream>,
    /// Lines that go with every request.
    pub authorization: String,
}

impl Http {
    pub fn new(socket: TcpStream, shown: Shown) -> Self {
        let authorization = match shown {
            Shown::Nothing => String::new(),
            Shown::Secret { user, secret } => {
                format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{secret}")))
            }
            Shown::Token(token) => format!("Authorization: Bearer {token}\r\n"),
        };
        Self { stream: BufReader::new(socket), authorization }
    }

    fn exchange(&mut self, request: &str) -> io::Result<Answer> {
        let (line, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let kind = if body.starts_with('{') { "Content-Type: application/json\r\n" } else { "" };
        let request = format!(
            "{line} HTTP/1.1\r\nHost: matrix\r\n{}{kind}Content-Length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, length) = self.head()?;
        let body = match length {
            Some(length) => {
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body)?;
                String::from_utf8_lossy(&body).into_owned()
            }
            None if status == 204 => String::new(),
            None => self.first_chunk()?,
        };
        Ok(understood(status, body))
    }

    /// Status and length; a stream has none.
    fn head(&mut self) -> io::Result<(u16, Option<usize>)> {
        let mut line = self.line()?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut length = None;
        loop {
            line = self.line()?;
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
    }

    fn first_chunk(&mut self) -> io::Result<String> {
        let length = usize::from_str_radix(&self.line()?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok(String::from_utf8_lossy(&chunk).into_owned())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn understood(status: u16, body: String) -> Answer {
    // A list of handles is answered with a list, each with its own success.
    let refused = serde_json::from_str::<Value>(&body).ok().map(|json| json["results"][0].clone());
    let refused = refused.filter(|first| first["ok"] == false);
    match (status, refused) {
        (200..=299, None) => Answer::Done(body),
        (200..=299, Some(first)) if first["code"] == "forbidden" => {
            Answer::Denied(first["detail"].as_str().unwrap_or_default().to_owned())
        }
        (401, _) => Answer::Unknown(body),
        (403, _) => Answer::Denied(body),
        _ => Answer::Failed(format!("{status} {body}")),
    }
}

impl Speaker for Http {
    fn ask(&mut self, request: &str) -> Answer {
        self.exchange(request).unwrap_or_else(|e| Answer::Failed(e.to_string()))
    }

    fn read_to_end(&mut self) -> io::Result<String> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(String::from_utf8_lossy(&rest).into_owned())
    }
}
