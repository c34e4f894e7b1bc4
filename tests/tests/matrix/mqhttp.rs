//! The cloud's MQ HTTP protocol: requests as `http` sends them, signed.

use crate::http::Http;
use crate::wire::{Answer, Shown, Speaker};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::io;
use std::net::TcpStream;
use std::time::SystemTime;

/// What its servers say to those whom they do not know.
const UNKNOWN: [&str; 3] = ["MissingAuthorizationHeader", "InvalidAccessKeyId", "SignatureDoesNotMatch"];

pub struct MqHttp {
    http: Http,
    shown: Shown,
    /// The last receipt handle that came: `{ack}` in requests.
    handle: String,
}

impl MqHttp {
    pub fn new(socket: TcpStream, shown: Shown) -> Self {
        Self { http: Http::new(socket, Shown::Nothing), shown, handle: String::new() }
    }

    fn sign(&mut self, request: &str) {
        let Shown::Secret { user, secret } = &self.shown else { return };
        let line = request.lines().next().unwrap_or_default();
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let date = httpdate::fmt_http_date(SystemTime::now());
        let text = format!("{method}\n\n\n{date}\nx-mq-version:2015-06-06\n{target}");
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).expect("any key will do");
        mac.update(text.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        self.http.authorization =
            format!("Authorization: MQ {user}:{signature}\r\nDate: {date}\r\nx-mq-version: 2015-06-06\r\n");
    }
}

impl Speaker for MqHttp {
    fn ask(&mut self, request: &str) -> Answer {
        let request = request.replace("{ack}", &self.handle);
        self.sign(&request);
        match self.http.ask(&request) {
            Answer::Done(shown) => {
                if let Some((_, rest)) = shown.split_once("<ReceiptHandle>") {
                    self.handle = rest.split('<').next().unwrap_or_default().to_owned();
                }
                Answer::Done(shown)
            }
            Answer::Denied(words) | Answer::Failed(words)
                if UNKNOWN.iter().any(|code| words.contains(code)) =>
            {
                Answer::Unknown(words)
            }
            other => other,
        }
    }

    fn read_to_end(&mut self) -> io::Result<String> {
        self.http.read_to_end()
    }
}
