//! STOMP 1.2, frame by frame.

use crate::wire::{Answer, Shown, Speaker};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

pub struct Stomp {
    stream: BufReader<TcpStream>,
    /// What CONNECT was answered with, when it was refused: no frame after it is answered.
    refused: Option<String>,
    /// The delivery of the last MESSAGE.
    ack: String,
}

/// A frame of the server.
#[derive(Debug)]
struct Frame {
    command: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Frame {
    fn get(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn words(&self) -> String {
        format!("{}: {}", self.get("message"), self.body)
    }
}

impl Stomp {
    pub fn new(socket: TcpStream, shown: Shown) -> Self {
        let credentials = match shown {
            Shown::Nothing => String::new(),
            Shown::Secret { user, secret } => format!("login:{user}\npasscode:{secret}\n"),
            Shown::Token(token) => format!("passcode:{token}\n"),
        };
        let mut stomp = Self { stream: BufReader::new(socket), refused: None, ack: String::new() };
        let connect = format!("CONNECT\naccept-version:1.2\nhost:matrix\n{credentials}\n\0");
        let answer = stomp.stream.get_mut().write_all(connect.as_bytes()).and_then(|()| stomp.frame());
        stomp.refused = match answer {
            Ok(frame) if frame.command == "CONNECTED" => None,
            Ok(frame) => Some(frame.words()),
            Err(error) => Some(format!("no answer to CONNECT: {error}")),
        };
        stomp
    }

    fn exchange(&mut self, request: &str) -> io::Result<Answer> {
        let request = request.replace("{ack}", &self.ack);
        let (head, body) = request.split_once("\n\n").expect("a frame's head ends with an empty line");
        let (awaited, head): (Vec<_>, Vec<_>) = head.lines().partition(|line| line.starts_with("await:"));
        let awaited = awaited.first().map_or("RECEIPT", |line| &line["await:".len()..]);
        let receipt = if awaited == "RECEIPT" { "receipt:r\n" } else { "" };
        let frame = format!("{}\n{receipt}\n{body}\0", head.join("\n"));
        // A server that has said its last word may be gone; the word is still to be read.
        let _ = self.stream.get_mut().write_all(frame.as_bytes());
        loop {
            let frame = self.frame()?;
            if frame.command == "MESSAGE" {
                self.ack = frame.get("ack").to_owned();
            }
            match frame.command.as_str() {
                "ERROR" if frame.get("message") == "Access refused" => {
                    return Ok(Answer::Denied(frame.words()));
                }
                "ERROR" => return Ok(Answer::Failed(frame.words())),
                command if command == awaited => return Ok(Answer::Done(frame.body)),
                _ => {}
            }
        }
    }

    fn frame(&mut self) -> io::Result<Frame> {
        let command = loop {
            let line = self.line()?;
            if !line.is_empty() {
                break line; // and not a heart-beat
            }
        };
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.replace("\\c", ":"))),
                None => break,
            }
        }
        let mut body = Vec::new();
        self.stream.read_until(0, &mut body)?;
        if body.pop() != Some(0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Frame { command, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\n', '\r']).to_owned())
    }
}

impl Speaker for Stomp {
    fn ask(&mut self, request: &str) -> Answer {
        match &self.refused {
            Some(words) if words.starts_with("Access refused") => Answer::Unknown(words.clone()),
            Some(words) => Answer::Failed(words.clone()),
            None => self.exchange(request).unwrap_or_else(|e| Answer::Failed(e.to_string())),
        }
    }

    fn read_to_end(&mut self) -> io::Result<String> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(String::from_utf8_lossy(&rest).into_owned())
    }
}
