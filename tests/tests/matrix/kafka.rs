//! Kafka, request by request, as its own schemas lay them out.

use crate::wire::{Answer, Shown, Speaker};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The errors of those who may not: of a topic, of a group, of the broker, of a producer's name.
const DENIALS: [i16; 4] = [29, 30, 31, 53];
/// The error of those who are not known.
const NOT_AUTHENTICATED: i16 = 58;

pub struct Kafka {
    stream: TcpStream,
    login: Login,
    correlation: i32,
    /// What the producer is known by that was named last.
    pub producer: (i64, i16),
}

/// How the login went.
enum Login {
    /// There was none.
    Never,
    Done,
    Refused(Answer),
}

/// What a response says of the one thing that it was asked about.
pub struct Told {
    pub code: i16,
    /// What the response names beside the code, and its words, if it has any.
    pub words: String,
}

impl Told {
    pub fn new(code: i16, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    fn judged(self) -> Answer {
        let words = format!("{} {}", self.code, self.words);
        match self.code {
            0 => Answer::Done(self.words),
            NOT_AUTHENTICATED => Answer::Unknown(words),
            code if DENIALS.contains(&code) => Answer::Denied(words),
            _ => Answer::Failed(words),
        }
    }
}

impl Kafka {
    pub fn new(socket: TcpStream, shown: Shown) -> Self {
        let mut kafka = Self { stream: socket, login: Login::Never, correlation: 0, producer: (0, 0) };
        let (mechanism, token) = match shown {
            Shown::Nothing => return kafka,
            Shown::Secret { user, secret } => ("PLAIN", format!("\0{user}\0{secret}")),
            Shown::Token(token) => ("OAUTHBEARER", format!("n,,\x01auth=Bearer {token}\x01\x01")),
        };
        kafka.login = match kafka.log_in(mechanism, token) {
            Ok(Answer::Done(_)) => Login::Done,
            Ok(refused) => Login::Refused(refused),
            Err(error) => Login::Refused(Answer::Failed(format!("no answer to the login: {error}"))),
        };
        kafka
    }

    fn log_in(&mut self, mechanism: &'static str, token: String) -> io::Result<Answer> {
        let handshake = SaslHandshakeRequest::default().with_mechanism(mechanism.into());
        let code = self.call(1, &handshake)?.error_code;
        if code != 0 {
            return Ok(Told::new(code, "to the handshake").judged());
        }
        let token = SaslAuthenticateRequest::default().with_auth_bytes(token.into_bytes().into());
        let mut told = self.call(2, &token)?;
        // Why a token is refused is told first (RFC 7628); that it is follows when the client has understood.
        if told.error_code == 0 && !told.auth_bytes.is_empty() {
            let understood = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\x01"));
            told = self.call(2, &understood)?;
        }
        Ok(Told::new(told.error_code, format!("{:?}", told.error_message)).judged())
    }

    /// One request and its response.
    pub fn call<Q: Request>(&mut self, version: i16, request: &Q) -> io::Result<Q::Response> {
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some("matrix".into()));
        let mut out = BytesMut::new();
        header.encode(&mut out, Q::header_version(version)).expect("a header");
        request.encode(&mut out, version).expect("a request of this version");
        let mut frame = (out.len() as i32).to_be_bytes().to_vec();
        frame.extend_from_slice(&out);
        self.stream.write_all(&frame)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        self.stream.read_exact(&mut frame)?;
        let mut frame = Bytes::from(frame);
        let header = ResponseHeader::decode(&mut frame, Q::Response::header_version(version));
        assert_eq!(header.expect("a header").correlation_id, self.correlation, "another request's response");
        let response = Q::Response::decode(&mut frame, version).expect("a response of this version");
        assert!(frame.is_empty(), "bytes behind the response");
        Ok(response)
    }
}

impl Speaker for Kafka {
    fn ask(&mut self, request: &str) -> Answer {
        if let Login::Refused(answer) = &self.login {
            return match answer {
                Answer::Unknown(words) => Answer::Unknown(words.clone()),
                other => Answer::Failed(format!("login: {other:?}")),
            };
        }
        match (crate::kafka_requests::send(self, request), &self.login) {
            (Ok(told), _) => told.judged(),
            // The wire has no error for it. That the same request is understood, others of the row show.
            (Err(error), Login::Never) if is_end(&error) => Answer::Unknown("closed".to_owned()),
            (Err(error), _) => Answer::Failed(error.to_string()),
        }
    }

    fn read_to_end(&mut self) -> io::Result<String> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(String::from_utf8_lossy(&rest).into_owned())
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}
