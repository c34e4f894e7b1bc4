//! Sending at most once: the same messages sent again under the same key are answered as the first time.
//!
//! The one idea to know: whether a key is known and what becomes of it is decided under one lock, and the key goes to the
//! log in the atomic group of its messages. So two senders at once store one, and a crash leaves both or neither.

use super::produce::{Plan, cost_of, permit_send, refuse_halves};
use super::{Broker, Inner};
use crate::core::once::{Digest, First, Known};
use crate::core::record::Record;
use crate::core::state::Core;
use crate::{ContentHasher, OnceKey, OnceRefusal, OnceRequest, OnceSent, Sent, SentBefore};
use sluice_auth::Session;
use sluice_model::{Error, ErrorKind, Millis, Result};
use sluice_store::LogQueue;

/// The longest key.
const MAX_KEY: usize = 255;

impl Broker {
    /// Stores messages as one atomic group, unless that was done before under the same key: then the answer is that of
    /// the first time, however often and in whichever life of the broker it is asked. Keys are remembered for
    /// `broker.once_window`. Permits: Pub on each topic.
    ///
    /// # Errors
    /// As for [`Broker::send`]; nothing is remembered then. With an [`OnceRefusal`] as the source: `Conflict` when the
    /// key was used for something else, `Unavailable` while the first sending is not stored yet.
    pub fn send_once(&self, session: &Session, request: OnceRequest<'_>) -> Result<OnceSent> {
        let inner = self.0.by_itself(); // each topic is written to under a permit of its own
        let key = digest(session, &request)?;
        let mut permits = Vec::with_capacity(request.sends.len());
        for send in &request.sends {
            permits.push(permit_send(&self.0, session, &send.topic)?);
            refuse_halves(send)?;
        }
        let now = self.now();
        if let Some(again) = inner.sent_before(&inner.core.lock(), &key, &request, now)? {
            return Ok(OnceSent::Again(again));
        }
        let mut plans = Vec::with_capacity(request.sends.len());
        for (send, permit) in request.sends.iter().zip(&permits) {
            let topic = inner.topic_to_write(permit, &send.topic, send.create)?;
            plans.push(inner.plan(permit, &topic, send.clone(), now)?);
        }
        inner.check_size(&plans)?;
        let place = inner.auth.begin(session, None)?;
        inner.auth.charge(session, cost_of(plans.iter().flat_map(|plan| &plan.messages)))?;
        let sent = inner.append_once(&plans, key, &request, now);
        if sent.is_err() {
            inner.counts.refused.increment(1);
        }
        Ok(match sent? {
            OnceSent::First(promise) => OnceSent::First(promise.holding(place)),
            again @ OnceSent::Again(_) => again,
        })
    }
}

impl Inner {
    fn append_once(
        &self,
        plans: &[Plan],
        key: Digest,
        request: &OnceRequest<'_>,
        now: Millis,
    ) -> Result<OnceSent> {
        let mut core = self.core.lock();
        // Another one may have been faster.
        if let Some(again) = self.sent_before(&core, &key, request, now)? {
            return Ok(OnceSent::Again(again));
        }
        let each = || plans.iter().flat_map(|plan| plan.messages.iter().map(move |message| (plan, message)));
        let content = request.content.0;
        let record = Record::Once { key, content, messages: each().count() as u32 };
        let promise = self.append_under(&mut core, plans, &[], Some(&record), now)?;
        let sent = promise.preview().map_or(&[][..], |sent| &sent[..]);
        let firsts = each().zip(sent).map(|((plan, message), sent)| First {
            id: sent.id.to_string().into(),
            target: plan.target.0,
            offset: sent.offset,
            lsn: sent.locator,
            due: message.deliver_at.filter(|_| sent.delayed),
        });
        core.sent_once(key, content, now, firsts.collect());
        self.counts.once.set(core.once.len() as f64);
        Ok(OnceSent::First(promise))
    }

    /// The first answer, when there is one.
    fn sent_before(
        &self,
        core: &Core,
        key: &Digest,
        request: &OnceRequest<'_>,
        now: Millis,
    ) -> Result<Option<Vec<SentBefore>>> {
        let Some(known) = core.once.get(key, now) else { return Ok(None) };
        if known.content != request.content.0 {
            return Err(refused(ErrorKind::Conflict, OnceRefusal::OtherContent));
        }
        let before: Vec<_> =
            known.messages.iter().map(|first| before(core, known, first)).collect::<Result<_>>()?;
        // What cannot be read yet is not as safe yet as the first sender asked.
        let stored = |first: &First| {
            let queue = first.due.map_or(LogQueue(first.target), |_| crate::core::catalog::TIMER_QUEUE);
            first.offset < self.whole.bounds(queue).next
        };
        if !known.messages.iter().all(stored) {
            return Err(refused(ErrorKind::Unavailable, OnceRefusal::InProgress));
        }
        self.counts.repeated.increment(1);
        Ok(Some(before))
    }
}

fn before(core: &Core, known: &Known, first: &First) -> Result<SentBefore> {
    let Some((_, queue)) = core.catalog.owner(LogQueue(first.target)) else {
        let text = "a topic that this was sent to the first time is gone";
        return Err(Error::new(ErrorKind::TopicNotFound, text));
    };
    let sent = Sent {
        id: first.id.as_ref().into(),
        queue,
        offset: first.offset,
        locator: first.lsn,
        stored: known.stored,
        delayed: first.due.is_some(),
    };
    Ok(SentBefore { sent, deliver_at: first.due })
}

pub(super) fn refused(kind: ErrorKind, why: OnceRefusal) -> Error {
    Error::new(kind, why.to_string()).with_source(why)
}

/// The key within its scope: the sender and the topic, when it is one.
fn digest(session: &Session, request: &OnceRequest<'_>) -> Result<Digest> {
    let (kind, owner, key) = match request.key {
        OnceKey::Idempotency(key) => (&b"key"[..], session.principal().as_ref(), key),
        OnceKey::MessageId(id) => (&b"id"[..], "", id),
    };
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Error::invalid(format!("a key has 1 to {MAX_KEY} bytes, not {}", key.len())));
    }
    let mut topics = request.sends.iter().map(|send| send.topic.as_str());
    let first = topics.next().unwrap_or_default();
    let scope = if topics.all(|topic| topic == first) { first } else { "" };
    let hasher = ContentHasher::default().part(kind).part(owner.as_bytes());
    Ok(hasher.part(scope.as_bytes()).part(key.as_bytes()).finish().0)
}
