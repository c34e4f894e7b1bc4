//! RECALL_MESSAGE (370): a delayed message is taken back.
//!
//! The one idea to know: the answer to a delayed message carries a handle, which the client hands back as it is. It is a
//! text in base64, `v1 topic broker due id` as stock brokers write it, and behind that the record's locator: clients
//! read the first five words and pass over more.

use super::{Call, Result};
use crate::codes::response::ILLEGAL_OPERATION;
use crate::errors::Failure;
use crate::node::Node;
use crate::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use sluice_broker::Sent;
use sluice_model::{ErrorKind, Millis, TopicName};

/// The handle of a message that waits until `due`.
pub(super) fn handle_of(node: &Node, topic: &TopicName, due: Millis, sent: &Sent) -> String {
    let broker = &node.marks.broker.name;
    URL_SAFE.encode(format!("v1 {topic} {broker} {due} {} {}", sent.id, sent.locator))
}

/// What a handle says.
struct Handle {
    topic: String,
    broker: String,
    due: Millis,
    id: String,
    locator: u64,
}

impl Handle {
    fn read(text: &str) -> Option<Self> {
        let words = String::from_utf8(URL_SAFE.decode(text).ok()?).ok()?;
        let ["v1", topic, broker, due, id, locator] = words.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Self {
            topic: topic.into(),
            broker: broker.into(),
            due: due.parse().ok()?,
            id: id.into(),
            locator: locator.parse().ok()?,
        })
    }
}

pub(super) async fn handle(call: Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let illegal = |text: &str| Failure::new(ILLEGAL_OPERATION, text);
    let handle =
        Handle::read(call.text("recallHandle")?).ok_or_else(|| illegal("recall handle is invalid"))?;
    if handle.topic != topic.as_str() || call.node.marks.broker.name != handle.broker {
        return Err(illegal("recall failed, the handle is of another topic or broker"));
    }
    let recalled = match call.node.broker.recall(&call.session, &topic, handle.due, handle.locator).await {
        Ok(promise) => promise.await,
        Err(error) => Err(error),
    };
    match recalled {
        Ok(()) => Ok(Response::success()
            .field("msgId", handle.id)
            .field("MSG_REGION", call.node.marks.region.clone())),
        Err(error) if error.kind() == ErrorKind::MessageNotFound => {
            Err(illegal("recall failed, the message does not wait any more"))
        }
        Err(error) => Err(error.into()),
    }
}
