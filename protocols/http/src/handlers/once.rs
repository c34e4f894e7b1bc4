//! Publishing at most once: idempotency keys, and ids that the client chooses.
//!
//! The one idea to know: what is compared is what the client said, not what it amounts to. A delay of ten minutes is the
//! same request a minute later, so the words of the times are digested, and the answer of the first time is given again.

use super::publish::{Level, Published, request, sender};
use crate::call::{Call, JSON, TEXT};
use crate::convert::{self, Ready, Times};
use crate::errors::{Code, Problem};
use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use sluice_auth::Session;
use sluice_broker::{
    Broker, ContentHasher, OnceKey, OnceRefusal, OnceRequest, OnceSent, QueueChoice, SendRequest, SentBefore,
};
use sluice_model::{Error, TopicName};
use std::error::Error as _;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const KEY_PARAMETER: &str = "idempotencyKey";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const MAX_KEY: usize = 255;
/// Who comes again while the first request is being stored waits so long for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A commit takes about so long; the log does not tell who else waits for one.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a message is called, as the call says it.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    Key(String),
    Id(String),
}

impl Named {
    fn key(&self) -> OnceKey<'_> {
        match self {
            Self::Key(key) => OnceKey::Idempotency(key),
            Self::Id(id) => OnceKey::MessageId(id),
        }
    }

    fn problem(&self, error: Error) -> Problem {
        let why = error.source().and_then(|source| source.downcast_ref::<OnceRefusal>());
        match (why, self) {
            (Some(OnceRefusal::InProgress), _) => {
                Problem::new(Code::IdempotencyInProgress, error.message()).retry_after(1000)
            }
            (Some(OnceRefusal::OtherContent), Self::Key(_)) => {
                Problem::new(Code::IdempotencyMismatch, "the idempotency key was used for something else")
            }
            (Some(OnceRefusal::OtherContent), Self::Id(id)) => {
                Problem::new(Code::Conflict, format!("message {id:?} exists with other content"))
            }
            (Some(OnceRefusal::KeyRequired) | None, _) => super::publish::send_problem(error),
        }
    }
}

/// The header `Idempotency-Key`: a structured field string, or the same without quotes, as most send it. Or the same in
/// the query, for those who cannot set headers.
pub(crate) fn idempotency_key(call: &Call) -> Result<Option<String>, Problem> {
    if call.plain && call.query.is_empty() {
        return Ok(None);
    }
    let mut values = call.headers.get_all(IDEMPOTENCY_KEY).iter();
    let in_query = call.query.get(KEY_PARAMETER)?;
    let text = match (values.next(), in_query) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                Code::BadRequest,
                "the idempotency key is in the header and in the query",
            ));
        }
        (Some(_), None) if values.next().is_some() => {
            return Err(Problem::new(Code::BadRequest, "Idempotency-Key is given more than once"));
        }
        (Some(value), None) => value.to_str().ok(),
        (None, in_query) => {
            in_query.filter(|text| text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)))
        }
    };
    let key = text.and_then(|text| unquoted(text.trim()));
    let key = key.filter(|key| (1..=MAX_KEY).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        let detail = format!("an idempotency key is 1 to {MAX_KEY} ASCII characters, quoted or not");
        Problem::new(Code::BadRequest, detail)
    })
}

fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let inner = rest.strip_suffix('"')?;
    let mut key = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => key.push(c),
        }
    }
    Some(key)
}

/// Messages under one name.
#[derive(Clone)]
pub(crate) struct Once {
    name: Named,
    sends: Vec<SendRequest>,
    content: sluice_broker::ContentDigest,
}

impl Once {
    /// `times` are those of each message, in order.
    pub fn new(name: Named, sends: Vec<SendRequest>, times: &[Times]) -> Self {
        let mut hasher = ContentHasher::default();
        for send in &sends {
            let queue = match send.queue {
                QueueChoice::Any => None,
                QueueChoice::Exactly(queue) => Some(queue.0.to_be_bytes()),
            };
            hasher = hasher.part(send.topic.as_str().as_bytes()).maybe(queue.as_ref().map(|q| &q[..]));
            hasher = send.messages.iter().fold(hasher, ContentHasher::message);
        }
        for time in times.iter().flat_map(Times::millis) {
            hasher = hasher.maybe(time.map(u64::to_be_bytes).as_ref().map(|time| &time[..]));
        }
        Self { name, sends, content: hasher.finish() }
    }

    fn ask(&self, broker: &Broker, session: &Session) -> Result<OnceSent, Error> {
        let sends = self.sends.clone();
        broker.send_once(session, OnceRequest { sends, key: self.name.key(), content: self.content })
    }

    /// Hands the messages to the log at once, and gives what becomes of them later.
    pub fn send(
        self,
        broker: Broker,
        session: Session,
        level: Level,
    ) -> impl Future<Output = Result<Stored, Problem>> + Send + 'static {
        let first = self.ask(&broker, &session);
        async move { self.stored(first, &broker, &session, level).await }
    }

    async fn stored(
        self,
        mut answer: Result<OnceSent, Error>,
        broker: &Broker,
        session: &Session,
        level: Level,
    ) -> Result<Stored, Problem> {
        let until = Instant::now() + PATIENCE;
        while answer.as_ref().is_err_and(is_in_progress) && Instant::now() < until {
            sleep(LOOK_AGAIN).await;
            answer = self.ask(broker, session);
        }
        let topics: Vec<&TopicName> =
            self.sends.iter().flat_map(|send| send.messages.iter().map(|_| &send.topic)).collect();
        match answer.map_err(|error| self.name.problem(error))? {
            OnceSent::Again(before) => {
                let published = topics.iter().zip(&before).map(|(topic, before)| {
                    let SentBefore { sent, deliver_at } = before;
                    Published::new(topic, sent, *deliver_at)
                });
                Ok(Stored { published: published.collect(), replayed: true })
            }
            OnceSent::First(promise) => {
                let sent = match level.wait {
                    true => promise.await.map_err(|e| Problem::from(e).outcome_unknown())?,
                    false => promise.preview().cloned().unwrap_or_default(),
                };
                let times = self.sends.iter().flat_map(|send| send.messages.iter().map(|m| m.deliver_at));
                let each = topics.iter().zip(&sent).zip(times);
                let published = each.map(|((topic, sent), at)| Published::new(topic, sent, at)).collect();
                Ok(Stored { published, replayed: false })
            }
        }
    }
}

fn is_in_progress(error: &Error) -> bool {
    let why = error.source().and_then(|source| source.downcast_ref::<OnceRefusal>());
    why == Some(&OnceRefusal::InProgress)
}

/// Where messages are, now or since the first time.
pub(crate) struct Stored {
    pub published: Vec<Published>,
    pub replayed: bool,
}

/// Says that an answer was given before.
pub(crate) fn mark(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// One raw message under a name.
pub(crate) async fn raw(
    call: &Call,
    name: Named,
    topic: TopicName,
    ready: Ready,
    (create, level): (Option<u32>, Level),
    format: &str,
) -> Result<Response, Problem> {
    let status = |replayed| match (&name, replayed) {
        (Named::Id(_), true) => StatusCode::OK,
        _ => level.status(),
    };
    let (first, again) = (status(false), status(true));
    let times = [ready.times];
    let once = Once::new(name, vec![request(topic, ready, create, level)], &times);
    let stored = once.send(call.broker().clone(), call.session()?.clone(), level).await?;
    let published = stored.published.first();
    let published = published
        .ok_or_else(|| Problem::new(Code::Internal, "the log did not say where the message went"))?;
    let status = if stored.replayed { again } else { first };
    Ok(mark(super::publish::answer(published, status, format)?, stored.replayed))
}

/// `PUT /v1/topics/{topic}/messages/{message}`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let id = call.segment(1)?.to_owned();
    if !(1..=MAX_KEY).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_graphic()) {
        let detail = format!("a message id is 1 to {MAX_KEY} visible ASCII characters");
        return Err(Problem::new(Code::InvalidName, detail));
    }
    if idempotency_key(&call)?.is_some() {
        return Err(Problem::new(Code::BadRequest, "the id is the idempotency key of this call"));
    }
    let format = call.accept(&[JSON, TEXT])?;
    let level = Level::parse(call.query.get("ack")?)?;
    let create = super::publish::create(&call)?;
    let limit = call.broker().config().max_message_size.bytes();
    let body = call.body.read(limit, Code::MessageTooLarge).await?;
    let mut ready = convert::from_raw(body, &call.headers, &call.query, &sender(&call)?)?;
    ready.message.id = id.as_str().into();
    raw(&call, Named::Id(id), topic, ready, (create, level), format).await
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn keys_are_read_with_and_without_quotes() {
        assert_eq!(unquoted("abc-1").as_deref(), Some("abc-1"));
        assert_eq!(unquoted(r#""a \"b\" \\""#).as_deref(), Some(r#"a "b" \"#));
        for wrong in [r#"""#, r#""a"b""#, r#""a\n""#, r#""abc";p=1"#, r#""a\""#] {
            assert_eq!(unquoted(wrong), None, "{wrong}");
        }
    }
}
