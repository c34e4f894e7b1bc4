//! The program as a child process, and the smallest client that can ask it something.

#![allow(dead_code, reason = "each test uses its part")]

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

pub const DEADLINE: Duration = Duration::from_secs(60);

/// A command of the program, on free ports and on a data folder.
pub fn sluice(data: &Path) -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_sluice")), data)
}

/// The same for another program that ends up being it.
pub fn prepared(mut command: Command, data: &Path) -> Command {
    for listener in ["NAMESRV", "REMOTING", "HTTP", "STOMP", "KAFKA"] {
        command.env(format!("SLUICE_LISTEN__{listener}"), "0");
    }
    command.env("SLUICE_DATA_DIR", data).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn output(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

pub struct Running {
    pub child: Child,
    http: SocketAddr,
}

impl Running {
    /// Starts it and waits until it is ready. What it logs goes to a file.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let errors = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(pairs) = line.trim_end().strip_prefix("sluice ready ") else {
            let _ = child.kill();
            panic!("not ready: {line:?}\n{}", std::fs::read_to_string(log).unwrap());
        };
        let pairs: HashMap<_, _> = pairs.split(' ').map(|pair| pair.split_once('=').unwrap()).collect();
        Self { child, http: pairs["http"].parse().unwrap() }
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // a test has failed, or it has ended by itself
        let _ = self.child.wait();
    }
}

/// One connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Asks; the status and the answer, when that is JSON. Nothing when the connection is gone.
    pub fn try_call(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let mut status = String::new();
        self.0.read_line(&mut status).ok().filter(|read| *read > 0)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).ok()?;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    pub fn call(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.try_call(method, path, body).unwrap()
    }

    /// Every message of a queue: its offset and its body.
    pub fn browse(&mut self, topic: &str, queue: u64) -> Vec<(u64, String)> {
        let mut found: Vec<(u64, String)> = Vec::new();
        loop {
            let from = found.last().map_or(0, |(offset, _)| offset + 1);
            let path = format!("/v1/topics/{topic}/queues/{queue}/messages?offset={from}&limit=100");
            let (status, answer) = self.call("GET", &path, "");
            assert_eq!(status, 200, "{answer}");
            let messages = answer["messages"].as_array().unwrap();
            if messages.is_empty() {
                return found;
            }
            let one = |message: &Value| {
                (message["offset"].as_u64().unwrap(), message["body"].as_str().unwrap().to_owned())
            };
            found.extend(messages.iter().map(one));
        }
    }
}
