//! QUERY_MESSAGE (12): the messages of a topic that have a key, or this unique key.
//!
//! Clients look at the answer once more themselves and keep only what has the key among its `KEYS`. Asked for a key of
//! the trace topic, the broker answers with what clients have stored there and with its own trace of the message whose
//! id the key is: see `trace`.

mod trace;

use super::{Call, Result};
use crate::codes::response::QUERY_NOT_FOUND;
use crate::convert::to_properties;
use crate::errors::Failure;
use crate::record::Records;
use crate::response::Response;
use bytestring::ByteString;
use sluice_broker::{FindRequest, SearchBy};
use sluice_model::{ErrorKind, Millis, StoredMessage, TopicName};

/// Where stock clients store their traces.
pub(super) const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// By unique key as many are answered, whatever the client asks for: `defaultQueryMaxNum` of stock brokers.
const BY_UNIQUE_KEY: usize = 32;
/// Searches that find nothing in what they look at go on so often: tens of thousands of messages by then.
const ROUNDS: usize = 16;
/// The index that clients of 5.5 name: of keys, of unique keys. Older ones name none.
const INDEXES: [&str; 3] = ["", "K", "U"];

/// What is asked for.
struct Query {
    topic: TopicName,
    key: ByteString,
    by: SearchBy,
    max: usize,
    from: Millis,
    to: Millis,
}

impl Query {
    fn read(call: &Call) -> Result<Self> {
        let index = call.frame.ext.get("indexType").map_or("", |index| index);
        if !INDEXES.contains(&index) {
            let text = format!("messages are indexed by K (keys) and U (unique keys), not by {index:?}");
            return Err(Failure::invalid(text));
        }
        if call.frame.ext.get("lastKey").is_some_and(|last| !last.is_empty()) {
            return Err(Failure::invalid("lastKey is not supported: narrow the time instead"));
        }
        let unique =
            call.frame.ext.get("_UNIQUE_KEY_QUERY").is_some_and(|yes| yes.eq_ignore_ascii_case("true"));
        let asked = usize::try_from(call.number::<i32>("maxNum")?).unwrap_or(0).max(1);
        let time = |name: &str| Ok::<_, Failure>(Millis::try_from(call.number::<i64>(name)?).unwrap_or(0));
        Ok(Self {
            topic: call.topic("topic")?,
            key: call.text("key")?.clone(),
            by: if unique { SearchBy::Id } else { SearchBy::KeyOrId },
            max: if unique { BY_UNIQUE_KEY } else { asked },
            from: time("beginTimestamp")?,
            to: time("endTimestamp")?,
        })
    }

    fn is_for_a_trace(&self) -> bool {
        self.topic.as_str() == TRACE_TOPIC && self.by == SearchBy::KeyOrId
    }

    async fn find(&self, call: &Call) -> Result<Vec<StoredMessage>> {
        let broker = &call.node.broker;
        let max = self.max.min(broker.config().max_fetch);
        let mut request = FindRequest::new(&self.topic, &self.key, self.by, max);
        (request.from, request.to) = (self.from, self.to);
        for _ in 0..ROUNDS {
            match broker.find(&call.session, &request).await {
                Ok(found) if found.messages.is_empty() && found.next.is_some() => request.after = found.next,
                Ok(found) => return Ok(found.messages),
                // Nobody has stored a trace yet.
                Err(error) if error.kind() == ErrorKind::TopicNotFound && self.is_for_a_trace() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Vec::new())
    }
}

pub(super) async fn handle(call: Call) -> Result<Response> {
    let query = Query::read(&call)?;
    let mut messages = query.find(&call).await?;
    if query.is_for_a_trace() {
        match trace::of(&call, &query.key).await {
            Ok(traced) => {
                messages.extend(traced.into_iter().filter(|m| (query.from..=query.to).contains(&m.stored)));
            }
            Err(error) if error.kind() == ErrorKind::MessageNotFound => {}
            // What clients have stored may be seen all the same.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && !messages.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Some(newest) = messages.iter().max_by_key(|message| (message.stored, message.locator)) else {
        return Err(Failure::new(QUERY_NOT_FOUND, "can not find message, maybe time range not correct"));
    };
    let response = Response::success()
        .field("indexLastUpdateTimestamp", newest.stored)
        .field("indexLastUpdatePhyoffset", newest.locator);
    let host = call.link.here.host;
    let mut records = Records::default();
    for stored in &messages {
        records.push(stored, &to_properties(stored, &call.node.marks, host), host);
    }
    Ok(Response { body: records.into_parts(), ..response })
}
