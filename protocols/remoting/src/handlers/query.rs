//! QUERY_MESSAGE (12): the messages of a topic that have a key, this unique key, or a tag.
//!
//! Clients look at the answer once more themselves and keep only what has the key among its `KEYS`. Asked for a key of
//! the trace topic, the broker answers with what clients have stored there and with its own trace of the message whose
//! id the key is: see `trace`.

mod tags;
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
/// The index that clients of 5.5 name: of keys, of unique keys, of tags. Older ones name none.
const INDEXES: [&str; 4] = ["", "K", "U", TAGS];
const TAGS: &str = "T";

/// What is asked for.
struct Query {
    topic: TopicName,
    key: ByteString,
    by: SearchBy,
    max: usize,
    from: Millis,
    to: Millis,
    /// Only messages whose records lie before this place: what `lastKey` ends with.
    before: Option<u64>,
    tagged: bool,
}

impl Query {
    fn read(call: &Call) -> Result<Self> {
        let index = call.frame.ext.get("indexType").map_or("", |index| index);
        if !INDEXES.contains(&index) {
            let text =
                format!("messages are found by K (keys), U (unique keys) and T (tags), not by {index:?}");
            return Err(Failure::invalid(text));
        }
        let before = call.frame.ext.get("lastKey").filter(|last| !last.is_empty()).map(|last| place(last));
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
            before: before.transpose()?,
            tagged: index == TAGS,
        })
    }

    fn is_for_a_trace(&self) -> bool {
        self.topic.as_str() == TRACE_TOPIC && self.by == SearchBy::KeyOrId && !self.tagged
    }

    async fn find(&self, call: &Call) -> Result<Vec<StoredMessage>> {
        if self.tagged {
            return tags::find(call, self).await;
        }
        let broker = &call.node.broker;
        let max = self.max.min(broker.config().max_fetch);
        let mut request = FindRequest::new(&self.topic, &self.key, self.by, max);
        (request.from, request.to, request.after) = (self.from, self.to, self.before);
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

/// The place of the last message that the asker has seen: tools print it at the end of a message's `IndexKey`.
fn place(last: &str) -> Result<u64> {
    let number = last.rsplit('@').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::invalid(format!("lastKey does not end with a message's place: {last:?}")))
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
