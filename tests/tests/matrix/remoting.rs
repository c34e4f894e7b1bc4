//! RocketMQ remoting with JSON headers, each request signed as the stock client does.

use crate::wire::{Answer, Shown, Speaker};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use std::io::{self, Read, Write};
use std::net::TcpStream;

const NO_PERMISSION: i64 = 16;

pub struct Remoting {
    socket: TcpStream,
    shown: Option<(String, String)>,
    opaque: u32,
}

impl Remoting {
    pub fn new(socket: TcpStream, shown: Shown) -> Self {
        let shown = match shown {
            Shown::Nothing => None,
            Shown::Secret { user, secret } => Some((user, secret)),
            Shown::Token(_) => unreachable!("there are no tokens on this wire"),
        };
        Self { socket, shown, opaque: 0 }
    }

    fn exchange(&mut self, request: &str) -> io::Result<Answer> {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let code: i32 = lines.next().and_then(|code| code.parse().ok()).expect("a row begins with its code");
        let mut fields: Map<String, Value> = lines
            .map(|line| line.split_once('=').expect("a field has a value"))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        if let Some((user, secret)) = &self.shown {
            sign(&mut fields, body, user, secret);
        }
        self.opaque += 1;
        let header =
            json!({ "code": code, "language": "JAVA", "version": 479, "opaque": self.opaque, "flag": 0,
            "extFields": fields, "serializeTypeCurrentRPC": "JSON" })
            .to_string();
        let length = 4 + header.len() + body.len();
        let mut frame = (length as u32).to_be_bytes().to_vec();
        frame.extend((header.len() as u32).to_be_bytes());
        frame.extend(header.as_bytes());
        frame.extend(body.as_bytes());
        self.socket.write_all(&frame)?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let frame = self.frame()?;
            let length = u32::from_be_bytes([0, frame[1], frame[2], frame[3]]) as usize;
            let (header, body) = frame[4..].split_at(length);
            let header: Value = serde_json::from_slice(header)?;
            if header["opaque"] != self.opaque || header["flag"].as_i64().unwrap_or(0) & 1 == 0 {
                continue; // a notice of the server
            }
            let words = header["remark"].as_str().unwrap_or_default().to_owned();
            return Ok(match header["code"].as_i64() {
                Some(0) => Answer::Done(format!("{} {}", header["extFields"], String::from_utf8_lossy(body))),
                Some(NO_PERMISSION) if words.contains("has no permission to") => Answer::Denied(words),
                Some(NO_PERMISSION) => Answer::Unknown(words),
                _ => Answer::Failed(header.to_string()),
            });
        }
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame)?;
        Ok(frame)
    }
}

/// HMAC-SHA1 over the values of all fields, in the order of their names, and the body.
fn sign(fields: &mut Map<String, Value>, body: &str, user: &str, secret: &str) {
    fields.insert("AccessKey".to_owned(), json!(user));
    let mut names: Vec<_> = fields.keys().cloned().collect();
    names.sort();
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).expect("any key is good");
    names.iter().for_each(|name| mac.update(fields[name].as_str().unwrap_or_default().as_bytes()));
    mac.update(body.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    fields.insert("Signature".to_owned(), json!(signature));
}

impl Speaker for Remoting {
    fn ask(&mut self, request: &str) -> Answer {
        self.exchange(request).unwrap_or_else(|e| Answer::Failed(e.to_string()))
    }

    fn read_to_end(&mut self) -> io::Result<String> {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest)?;
        Ok(String::from_utf8_lossy(&rest).into_owned())
    }
}
