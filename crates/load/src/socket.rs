//! One connection: what waits to be written, what was read and not yet used.

use crate::{Result, Wire};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long the greeting may take.
const GREETED_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct Socket {
    stream: TcpStream,
    request: Vec<u8>,
    outgoing: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    /// How much of it is used.
    used: usize,
    /// What is on its way, by its intended time.
    pub in_flight: VecDeque<Instant>,
}

impl Socket {
    pub fn connect(
        wire: &dyn Wire,
        address: SocketAddr,
        number: usize,
        topic: &str,
        body: &[u8],
    ) -> Result<Self> {
        let mut request = Vec::new();
        wire.request_of(number, topic, body, &mut request);
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GREETED_WITHIN))?;
        greet(wire, &mut stream, topic)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            request,
            outgoing: Vec::new(),
            written: 0,
            incoming: Vec::new(),
            used: 0,
            in_flight: VecDeque::new(),
        })
    }

    /// Puts a request behind those that wait to be written.
    pub fn begin(&mut self, intended: Instant) {
        self.outgoing.extend(&self.request);
        self.in_flight.push_back(intended);
    }

    /// The next whole request that was answered: when it was intended, and for how many messages it stood.
    pub fn finished(&mut self, wire: &dyn Wire) -> Result<Option<(Instant, u64)>> {
        loop {
            let rest = self.incoming.get(self.used..).unwrap_or_default();
            let Some(length) = wire.answer(rest)? else {
                self.incoming.drain(..self.used);
                self.used = 0;
                return Ok(None);
            };
            let answer = rest.get(..length).unwrap_or_default();
            let ends = wire.ends(answer, &mut self.outgoing);
            let messages = if ends { wire.messages(answer) } else { 0 };
            if ends {
                wire.go_on(answer, &mut self.request);
            }
            self.used += length;
            if ends {
                let intended = self.in_flight.pop_front().ok_or("an answer without a request")?;
                return Ok(Some((intended, messages)));
            }
        }
    }

    /// The socket takes no more for now.
    pub fn is_stuck(&self) -> bool {
        self.written < self.outgoing.len()
    }

    fn wanted(&self) -> epoll::EventFlags {
        if self.is_stuck() { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN }
    }

    pub fn flush(&mut self) -> Result {
        while let Some(rest) = self.outgoing.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Ok(())
    }

    pub fn receive(&mut self, buffer: &mut [u8]) -> Result {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the broker closed the connection".into()),
                Ok(n) => {
                    self.incoming.extend(buffer.get(..n).unwrap_or_default());
                    if n < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn greet(wire: &dyn Wire, stream: &mut TcpStream, topic: &str) -> Result {
    let greeting = wire.greeting(topic);
    if greeting.is_empty() {
        return Ok(());
    }
    stream.write_all(&greeting)?;
    let mut answer = Vec::new();
    while wire.answer(&answer)?.is_none() {
        let mut bytes = [0; 512];
        match stream.read(&mut bytes)? {
            0 => return Err("the broker closed the connection".into()),
            n => answer.extend(bytes.get(..n).unwrap_or_default()),
        }
    }
    Ok(())
}

/// Tells on which connections something can be done.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub fn new(sockets: &[Socket]) -> Result<Self> {
        let watch = Self(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        for (at, socket) in sockets.iter().enumerate() {
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&watch.0, &socket.stream, data, socket.wanted())?;
        }
        Ok(watch)
    }

    pub fn change(&self, at: usize, socket: &Socket) -> Result {
        let data = epoll::EventData::new_u64(at as u64);
        Ok(epoll::modify(&self.0, &socket.stream, data, socket.wanted())?)
    }

    /// Waits for events, at most so long; false when there were none.
    pub fn wait(&self, events: &mut Vec<epoll::Event>, at_most: Duration) -> Result<bool> {
        let limit =
            Timespec { tv_sec: at_most.as_secs().cast_signed(), tv_nsec: i64::from(at_most.subsec_nanos()) };
        match epoll::wait(&self.0, spare_capacity(events), Some(&limit)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(true), // stopped and continued, as by a shell
            Err(error) => Err(error.into()),
        }
    }
}
