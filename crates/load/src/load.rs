//! The loop over many connections in one thread, open or closed.

use crate::report::Report;
use crate::schedule::Schedule;
use crate::socket::{Socket, Watch};
use crate::{Result, Wire};
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// No answer for so long means that something is broken, not slow.
const STALLED: Duration = Duration::from_secs(30);

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// When one was answered: as many in flight as there are places.
    Closed,
    /// By a schedule of so many requests a second, over all connections.
    Open(f64),
}

/// What is sent, how much at a time, how long.
pub struct Load<'a> {
    pub address: SocketAddr,
    pub wire: &'a dyn Wire,
    pub topic: &'a str,
    pub connections: usize,
    /// The most requests in flight on each.
    pub depth: usize,
    pub body: usize,
    /// What is answered before that is not counted.
    pub warm_up: Duration,
    pub duration: Duration,
    pub pace: Pace,
}

/// A run on its way.
struct Run<'a> {
    wire: &'a dyn Wire,
    sockets: Vec<Socket>,
    schedule: Option<Schedule>,
    counted_from: Instant,
    latencies: Histogram<u64>,
    requests: u64,
    messages: u64,
}

impl Load<'_> {
    pub fn run(&self) -> Result<Report> {
        self.wire.prepare(self.address, self.topic)?;
        let body = vec![b'x'; self.body];
        let sockets = (0..self.connections)
            .map(|number| {
                let private = format!("{}-{number}", self.topic);
                let topic = if self.wire.is_private() { &private } else { self.topic };
                Socket::connect(self.wire, self.address, number, topic, &body)
            })
            .collect::<Result<Vec<_>>>()?;
        let began = Instant::now();
        let schedule = match self.pace {
            Pace::Closed => None,
            Pace::Open(rate) => Some(Schedule::new(began, rate, self.connections, self.depth)),
        };
        let mut run = Run {
            wire: self.wire,
            sockets,
            schedule,
            counted_from: began + self.warm_up,
            latencies: Histogram::new(3)?,
            requests: 0,
            messages: 0,
        };
        run.until(began + self.warm_up + self.duration, self.depth)?;
        run.report(self)
    }
}

impl Run<'_> {
    fn until(&mut self, end: Instant, depth: usize) -> Result {
        let watch = Watch::new(&self.sockets)?;
        if self.schedule.is_none() {
            let now = Instant::now();
            for socket in &mut self.sockets {
                (0..depth).for_each(|_| socket.begin(now));
                socket.flush()?;
            }
        }
        let mut events = Vec::with_capacity(self.sockets.len());
        // One for all: clearing it for each answer would cost more than reading the answer.
        let mut buffer = vec![0; 256 * 1024];
        let mut heard = Instant::now();
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.send_what_is_due(now, &watch)?;
            let next = self.schedule.as_ref().map_or(end, |schedule| schedule.next().min(end));
            let may_wait = next.saturating_duration_since(Instant::now()).min(STALLED);
            if watch.wait(&mut events, may_wait)? {
                heard = now;
            } else if now - heard > STALLED && self.is_waiting() {
                return Err(format!("no answer within {STALLED:?}").into());
            }
            for at in events.drain(..).map(|event| event.data.u64() as usize) {
                self.serve(at, &mut buffer, &watch)?;
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.sockets.iter().any(|socket| !socket.in_flight.is_empty())
    }

    fn send_what_is_due(&mut self, now: Instant, watch: &Watch) -> Result {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        schedule.come_due(now);
        while let Some((at, intended)) = schedule.take() {
            let Some(socket) = self.sockets.get_mut(at) else { continue };
            let was_stuck = socket.is_stuck();
            socket.begin(intended);
            socket.flush()?;
            if socket.is_stuck() != was_stuck {
                watch.change(at, socket)?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, at: usize, buffer: &mut [u8], watch: &Watch) -> Result {
        let Some(socket) = self.sockets.get_mut(at) else { return Ok(()) };
        let was_stuck = socket.is_stuck();
        socket.flush()?;
        socket.receive(buffer)?;
        let now = Instant::now();
        while let Some((intended, messages)) = socket.finished(self.wire)? {
            if now >= self.counted_from {
                self.latencies.record((now - intended).as_nanos() as u64)?;
                self.requests += 1;
                self.messages += messages;
            }
            match &mut self.schedule {
                Some(schedule) => schedule.give_back(at),
                None => socket.begin(now),
            }
        }
        socket.flush()?;
        if socket.is_stuck() != was_stuck {
            watch.change(at, socket)?;
        }
        Ok(())
    }

    fn report(mut self, load: &Load<'_>) -> Result<Report> {
        let now = Instant::now();
        let elapsed = (now - self.counted_from).as_secs_f64();
        let mut left = 0;
        // What has not been answered has waited so long at least: leaving it out would hide the slowest.
        if let Some(schedule) = &self.schedule {
            let unanswered = self.sockets.iter().flat_map(|socket| socket.in_flight.iter().copied());
            for intended in schedule.waiting().chain(unanswered) {
                self.latencies.record((now - intended).as_nanos() as u64)?;
                left += 1;
            }
        }
        let per_request = self.messages as f64 / (self.requests as f64).max(1.0);
        let due = self.schedule.as_ref().map(Schedule::due);
        Ok(Report::new(self.messages as f64 / elapsed, per_request, left, due, &self.latencies, load))
    }
}
