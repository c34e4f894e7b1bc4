//! A closed loop over many connections in one thread: each has so many requests in flight, and an answer is followed
//! by the next request at once.

use super::frames::Wire;
use crate::shell::Result;
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// No answer for so long means that something is broken, not slow.
const STALLED: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What is sent, how much at a time, how long.
pub struct Load<'a> {
    pub address: SocketAddr,
    pub wire: &'a dyn Wire,
    pub topic: &'a str,
    pub connections: usize,
    pub depth: usize,
    pub body: usize,
    pub duration: Duration,
}

/// What came of it.
pub struct Measured {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    outgoing: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    sent_at: VecDeque<Instant>,
}

impl Load<'_> {
    pub fn run(&self) -> Result<Measured> {
        let body = vec![b'x'; self.body];
        let mut connections =
            (0..self.connections).map(|number| self.connect(number, &body)).collect::<Result<Vec<_>>>()?;
        let started = Instant::now();
        for connection in &mut connections {
            for _ in 0..self.depth {
                connection.begin(started)?;
            }
        }
        let watch = Watch::new(&connections)?;
        let mut events = Vec::with_capacity(self.connections);
        let mut latencies = Histogram::<u64>::new(3)?;
        // One for all: clearing it for each answer would cost more than reading the answer.
        let mut buffer = vec![0; 64 * 1024];
        while started.elapsed() < self.duration {
            watch.wait(&mut events)?;
            for at in events.drain(..).map(|event| event.data.u64()) {
                let Some(connection) = connections.get_mut(at as usize) else { continue };
                let was_stuck = connection.is_stuck();
                connection.flush()?;
                connection.receive(&mut buffer)?;
                let now = Instant::now();
                while let Some(length) = self.wire.answer(&connection.incoming)? {
                    if connection.is_done(self.wire, length) {
                        let sent = connection.sent_at.pop_front().ok_or("an answer without a request")?;
                        latencies.record((now - sent).as_nanos() as u64)?;
                        connection.begin(now)?;
                    }
                }
                connection.flush()?;
                if connection.is_stuck() != was_stuck {
                    watch.change(at, connection)?;
                }
            }
        }
        let at = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile));
        Ok(Measured {
            per_second: latencies.len() as f64 / started.elapsed().as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
        })
    }

    fn connect(&self, number: usize, body: &[u8]) -> Result<Connection> {
        let private = format!("{}-{number}", self.topic);
        let topic = if self.wire.is_private() { &private } else { self.topic };
        let mut request = Vec::new();
        self.wire.request(topic, body, &mut request);
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(STALLED.tv_sec.unsigned_abs())))?;
        let greeting = self.wire.greeting(topic);
        if !greeting.is_empty() {
            stream.write_all(&greeting)?;
            let mut answer = Vec::new();
            while self.wire.answer(&answer)?.is_none() {
                let mut byte = [0; 512];
                match stream.read(&mut byte)? {
                    0 => return Err("the broker closed the connection".into()),
                    n => answer.extend(byte.get(..n).unwrap_or_default()),
                }
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            request,
            outgoing: Vec::new(),
            written: 0,
            incoming: Vec::new(),
            sent_at: VecDeque::new(),
        })
    }
}

/// Tells on which connections something can be done.
struct Watch(OwnedFd);

impl Watch {
    fn new(connections: &[Connection]) -> Result<Self> {
        let watch = Self(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        for (at, connection) in connections.iter().enumerate() {
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&watch.0, &connection.stream, data, connection.wanted())?;
        }
        Ok(watch)
    }

    fn change(&self, at: u64, connection: &Connection) -> Result {
        let data = epoll::EventData::new_u64(at);
        Ok(epoll::modify(&self.0, &connection.stream, data, connection.wanted())?)
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result {
        match epoll::wait(&self.0, spare_capacity(events), Some(&STALLED)) {
            Ok(0) => Err(format!("no answer within {} s", STALLED.tv_sec).into()),
            Ok(_) | Err(Errno::INTR) => Ok(()), // stopped and continued, as by a shell
            Err(error) => Err(error.into()),
        }
    }
}

impl Connection {
    /// The socket takes no more for now.
    fn is_stuck(&self) -> bool {
        self.written < self.outgoing.len()
    }

    fn wanted(&self) -> epoll::EventFlags {
        if self.is_stuck() { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN }
    }

    fn begin(&mut self, now: Instant) -> Result {
        self.outgoing.extend(&self.request);
        self.sent_at.push_back(now);
        self.flush()
    }

    /// Takes an answer away, and says whether a request ends with it.
    fn is_done(&mut self, wire: &dyn Wire, answer: usize) -> bool {
        let done = wire.ends(self.incoming.get(..answer).unwrap_or_default(), &mut self.outgoing);
        self.incoming.drain(..answer);
        done
    }

    fn flush(&mut self) -> Result {
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

    fn receive(&mut self, buffer: &mut [u8]) -> Result {
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
