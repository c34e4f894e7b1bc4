//! Messages as they come: a topic's tail for everyone, or a group's deliveries.
//!
//! A stream is pulled by its connection: the next messages are asked for when the last ones were taken, so a slow
//! reader falls behind in the log and nothing piles up here.

use super::offsets::Offsets;
use super::receive::{auto_ack, lease, start, topics};
use crate::app::WaitPlace;
use crate::call::Call;
use crate::convert::{self, BodyMode, Lease, message_json};
use crate::counts::OpenStream;
use crate::errors::Problem;
use crate::lease_guard::{LeaseGuard, Settle};
use crate::params;
use crate::resume::Positions;
use crate::sse::Form;
use crate::stream_credit::StreamCredit;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use sluice_broker::{Cursor, Lease as LeaseTime, ReceiveRequest, StartAt};
use sluice_model::{Delivered, Error, Filter, GroupName, StoredMessage, TopicName};
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The most messages written at once.
const CHUNK: usize = 100;
const DEFAULT_IN_FLIGHT: u64 = 100;
/// How often a stream may say where its group is: not so often that it costs more than the messages, and not so seldom
/// that nobody will see it.
const STATUS_TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// `GET /v1/topics/{topic}/stream`
pub(crate) async fn topic(mut call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let form = Form::of(&call)?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let filter = convert::filter(&call.query, call.broker())?;
    let from = start(&call, StartAt::Latest)?;
    let seen = last_event_id(&call)?;
    let place = call.wait_place()?;
    call.forget_head();
    let mut cursor = call.broker().cursor(call.session()?, &topic, filter, from, None).await?;
    if let Some(seen) = seen {
        seen.apply(&mut cursor.positions)?;
    }
    let tail = Tail { call, cursor, form, mode, state: State::Opening, _place: place, _open: form.open() };
    Ok(form.respond(unfold(tail, |mut tail| async move {
        let chunk = tail.next().await?;
        Some((Ok::<_, Infallible>(chunk), tail))
    })))
}

/// The last event a client has seen; browsers send the header when they come back.
fn last_event_id(call: &Call) -> Result<Option<Positions>, Problem> {
    let header = call.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let id = header.or(call.query.get("lastEventId")?).filter(|id| !id.is_empty());
    id.map(Positions::parse).transpose()
}

enum State {
    Opening,
    Open,
    Closed,
}

struct Tail {
    call: Call,
    cursor: Cursor,
    form: Form,
    mode: BodyMode,
    state: State,
    _place: WaitPlace,
    _open: OpenStream,
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        match self.state {
            State::Closed => return None,
            State::Opening => {
                self.state = State::Open;
                if let Some(opening) = self.form.opening() {
                    return Some(opening);
                }
            }
            State::Open => {}
        }
        match self.poll().await {
            Ok(Some(chunk)) => Some(chunk),
            Ok(None) => {
                self.state = State::Closed;
                Some(self.form.bye())
            }
            Err(problem) => {
                self.state = State::Closed;
                Some(self.form.error(&problem))
            }
        }
    }

    /// The next messages or a sign of life; nothing when the server stops.
    async fn poll(&mut self) -> Result<Option<Bytes>, Problem> {
        let Self { call, cursor, .. } = self;
        let mut seen = Positions::from(&cursor.positions[..]);
        let beat = call.app.config.heartbeat.0;
        let messages = tokio::select! {
            messages = call.app.broker.poll(call.session()?, cursor, CHUNK, beat) => messages?,
            () = call.caller.drain.signaled() => return Ok(None),
            problem = call.revoked() => return Err(problem),
        };
        if messages.is_empty() {
            return Ok(Some(self.form.heartbeat()));
        }
        let mut chunk = String::new();
        for message in &messages {
            seen.seen(message.queue.0, message.offset);
            self.write(&mut chunk, message, &seen.to_string())?;
        }
        Ok(Some(chunk.into()))
    }

    fn write(&self, chunk: &mut String, message: &StoredMessage, id: &str) -> Result<(), Problem> {
        let max_body = self.call.broker().config().max_message_size.bytes();
        let event = (self.form == Form::Ndjson).then_some(id);
        let json = message_json(message, None, self.mode, event, max_body)?;
        self.form.message(chunk, json.get(), Some(id));
        Ok(())
    }
}

/// `GET /v1/groups/{group}/stream`
pub(crate) async fn group(mut call: Call) -> Result<Response, Problem> {
    let form = Form::of(&call)?;
    let most = call.app.config.max_stream_in_flight.max(1) as u64;
    let max_in_flight = call.query.number("maxInFlight", 1..=most)?.unwrap_or(DEFAULT_IN_FLIGHT.min(most));
    let status = call.query.span("status", STATUS_TIMES)?;
    call.forget_head();
    let group = call.group()?;
    let mut topics = topics(&call, &group)?.into_iter();
    let (Some(topic), None) = (topics.next(), topics.next()) else {
        return Err(params::invalid("topic", "a stream is of one topic: name it"));
    };
    let mut deliveries = Deliveries {
        topic,
        filter: convert::filter(&call.query, call.broker())?,
        mode: BodyMode::parse(call.query.get("body")?)?,
        lease: lease(&call, &group)?,
        group,
        start: start(&call, StartAt::Earliest)?,
        auto: auto_ack(&call)?,
        max_in_flight: max_in_flight as usize,
        credit: Arc::default(),
        handed_out: None,
        ready: None,
        state: State::Opening,
        form,
        status: status.map(|every| Status { every, due: Instant::now() }),
        _place: call.wait_place()?,
        _open: form.open(),
        call,
    };
    // What is wrong with the call shows here, while it can still be said by the status.
    let first = deliveries.receive(deliveries.max_in_flight, Duration::ZERO).await?;
    if !first.is_empty() {
        deliveries.ready = Some(deliveries.hand_out(&first)?);
    }
    Ok(form.respond(unfold(deliveries, |mut deliveries| async move {
        let chunk = deliveries.next().await?;
        Some((Ok::<_, Infallible>(chunk), deliveries))
    })))
}

/// How often the client wants to know where its group is.
struct Status {
    every: Duration,
    due: Instant,
}

struct Deliveries {
    call: Call,
    group: GroupName,
    topic: TopicName,
    filter: Filter,
    mode: BodyMode,
    lease: Duration,
    start: StartAt,
    auto: bool,
    max_in_flight: usize,
    credit: Arc<StreamCredit>,
    /// The leases of the chunk that the connection was given last.
    handed_out: Option<LeaseGuard>,
    /// A chunk received before the stream began.
    ready: Option<Bytes>,
    form: Form,
    status: Option<Status>,
    state: State,
    _place: WaitPlace,
    _open: OpenStream,
}

impl Deliveries {
    async fn next(&mut self) -> Option<Bytes> {
        match self.state {
            State::Closed => return None,
            State::Opening => {
                self.state = State::Open;
                if let Some(opening) = self.form.opening() {
                    return Some(opening);
                }
            }
            State::Open => {}
        }
        if let Some(chunk) = self.ready.take() {
            return Some(chunk);
        }
        self.taken().await;
        match self.deliver().await {
            Ok(Some(chunk)) => Some(chunk),
            Ok(None) => {
                self.state = State::Closed;
                Some(self.form.bye())
            }
            Err(problem) => {
                self.state = State::Closed;
                Some(self.form.error(&problem))
            }
        }
    }

    /// Being asked for more means that the last chunk is in the connection's buffer; one turn later it was flushed, or
    /// the connection is gone and this stream with it.
    async fn taken(&mut self) {
        if let Some(mut guard) = self.handed_out.take() {
            tokio::task::yield_now().await;
            guard.taken();
        }
    }

    /// The next deliveries or a sign of life; nothing when the server stops.
    async fn deliver(&mut self) -> Result<Option<Bytes>, Problem> {
        if let Some(status) = self.due_status()? {
            return Ok(Some(status));
        }
        let until_status = self
            .status
            .as_ref()
            .map_or(Duration::MAX, |status| status.due.saturating_duration_since(Instant::now()));
        let beat = self.call.app.config.heartbeat.0.min(until_status);
        let room = tokio::select! {
            room = self.room() => room,
            () = tokio::time::sleep(beat) => return self.sign_of_life().map(Some),
            () = self.call.caller.drain.signaled() => return Ok(None),
            problem = self.call.revoked() => return Err(problem),
        };
        let delivered = tokio::select! {
            delivered = self.receive(room, beat) => delivered?,
            () = self.call.caller.drain.signaled() => return Ok(None),
            problem = self.call.revoked() => return Err(problem),
        };
        if delivered.is_empty() {
            return self.sign_of_life().map(Some);
        }
        self.hand_out(&delivered).map(Some)
    }

    /// What is said when nothing came for a while.
    fn sign_of_life(&mut self) -> Result<Bytes, Problem> {
        Ok(self.due_status()?.unwrap_or_else(|| self.form.heartbeat()))
    }

    /// Where the group is, if it is time to say so.
    fn due_status(&mut self) -> Result<Option<Bytes>, Problem> {
        let now = Instant::now();
        let Some(status) = self.status.as_mut().filter(|status| status.due <= now) else { return Ok(None) };
        status.due = now + status.every;
        let offsets = Offsets::on(&self.call, &self.group, &self.topic)?;
        let json = serde_json::to_string(&offsets).map_err(|error| Problem::from(Error::internal(error)))?;
        Ok(Some(self.form.status(&json)))
    }

    /// Waits until fewer deliveries are unsettled than the client allows; says how many more it takes.
    async fn room(&self) -> usize {
        loop {
            let now = self.call.broker().now();
            self.call.app.credits.forget(&self.credit, now);
            let room = self.max_in_flight.saturating_sub(self.credit.open());
            if room > 0 {
                return room;
            }
            let first_end = self.credit.next_end().unwrap_or(now).saturating_sub(now) + 1;
            tokio::select! {
                () = self.credit.settled() => {}
                () = tokio::time::sleep(Duration::from_millis(first_end)) => {}
            }
        }
    }

    async fn receive(&self, room: usize, wait: Duration) -> Result<Vec<Delivered>, Problem> {
        let request = ReceiveRequest {
            group: &self.group,
            topic: &self.topic,
            filter: &self.filter,
            max: room.min(CHUNK),
            lease: LeaseTime::For(self.lease),
            wait,
            start: self.start,
            create: None,
        };
        Ok(self.call.broker().receive(self.call.session()?, &request).await?)
    }

    /// Writes deliveries into a chunk, and keeps their leases until it was taken.
    fn hand_out(&mut self, delivered: &[Delivered]) -> Result<Bytes, Problem> {
        let settle = if self.auto { Settle::AckWhenTaken } else { Settle::KeepWhenTaken };
        let guard =
            LeaseGuard::new(self.call.broker().clone(), self.call.session()?.clone(), delivered, settle);
        let max_body = self.call.broker().config().max_message_size.bytes();
        let mut chunk = String::new();
        for delivery in delivered {
            let lease = if self.auto { Lease::settled(delivery) } else { Lease::open(delivery) };
            let json = message_json(&delivery.message, Some(lease), self.mode, None, max_body)?;
            self.form.message(&mut chunk, json.get(), None);
            if !self.auto {
                self.call.app.credits.opened(&self.credit, &delivery.receipt.0, delivery.invisible_until);
            }
        }
        self.handed_out = Some(guard);
        Ok(chunk.into())
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.call.app.credits.forget(&self.credit, u64::MAX);
    }
}
