//! SEND_REPLY_MESSAGE (324, 325): a reply to a client that waits for it, pushed to it at once (326).
//!
//! The one idea to know: a reply is not a message for a queue. It is stored nowhere; it goes to the one client that its
//! properties name, which must be connected, and the replier is told whether it has got it.

use super::{Call, Result};
use crate::codes::request::{PUSH_REPLY_MESSAGE_TO_CLIENT, SEND_REPLY_MESSAGE};
use crate::codes::response::{SUCCESS, SYSTEM_ERROR};
use crate::errors::Failure;
use crate::properties::{self, MAX_PROPERTIES};
use crate::response::{Response, Value};
use bytestring::ByteString;

const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// When the broker passed the reply on, in milliseconds; added to its properties.
const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";

/// A field of the request as it goes on: its name to the client, and its names in 324 and 325.
type Passed = (&'static str, &'static str);

/// Names in 324, which are those in 326, and the short ones in 325.
const PASSED_ON: [Passed; 10] = [
    ("producerGroup", "a"),
    ("topic", "b"),
    ("defaultTopic", "c"),
    ("defaultTopicQueueNums", "d"),
    ("queueId", "e"),
    ("sysFlag", "f"),
    ("bornTimestamp", "g"),
    ("flag", "h"),
    ("reconsumeTimes", "j"),
    ("unitMode", "k"),
];
const PROPERTIES: Passed = ("properties", "i");

pub(super) async fn handle(call: Call) -> Result<Response> {
    let result = push(&call).await;
    let mut response = result.unwrap_or_else(Response::from);
    // Clients read these whatever became of it.
    response.ext.push(("MSG_REGION", Value::Text(call.node.marks.region.clone())));
    response.ext.push(("TRACE_ON", true.into()));
    Ok(response)
}

async fn push(call: &Call) -> Result<Response> {
    let long = call.frame.head.code == SEND_REPLY_MESSAGE;
    let field = |(long_name, short_name): Passed| {
        call.frame.ext.get(if long { long_name } else { short_name }).filter(|value| !value.is_empty())
    };
    let list = field(PROPERTIES).cloned().unwrap_or_default();
    let limit = call.node.broker.config().max_message_size.bytes();
    if list.len() > MAX_PROPERTIES || call.frame.body.len() > limit {
        let text = format!("a reply has at most {limit} bytes, and {MAX_PROPERTIES} of properties");
        return Err(Failure::illegal(text));
    }
    let requester = properties::parse(&list).find(|(name, _)| *name == REPLY_TO_CLIENT).map(|(_, id)| id);
    let Some(requester) = requester else {
        let text = format!("reply message fail, its property {REPLY_TO_CLIENT} is missing");
        return Err(Failure::new(SYSTEM_ERROR, text));
    };
    let Some(link) = call.node.clients.find(requester) else {
        let text = format!("reply message fail, channel of <{requester}> not found");
        return Err(Failure::new(SYSTEM_ERROR, text));
    };
    let now = call.node.broker.now();
    let mut ext: Vec<(&str, Value)> = PASSED_ON
        .iter()
        .filter_map(|passed| Some((passed.0, Value::Text(field(*passed)?.clone()))))
        .collect();
    ext.push((PROPERTIES.0, with_time(&list, now)));
    ext.push(("bornHost", call.link.peer.to_string().into()));
    ext.push(("storeHost", call.link.here.host.to_string().into()));
    ext.push(("storeTimestamp", now.into()));
    let answer = link.ask(PUSH_REPLY_MESSAGE_TO_CLIENT, &ext, vec![call.frame.body.clone()]).await;
    let failed = match answer {
        Ok(answer) if answer.head.code == SUCCESS => None,
        Ok(answer) => Some(answer.head.remark.unwrap_or_default().to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = failed {
        return Err(Failure::new(SYSTEM_ERROR, format!("push reply message to {requester} fail: {why}")));
    }
    let queue: i64 = field(("queueId", "e")).and_then(|queue| queue.parse().ok()).unwrap_or(0);
    Ok(Response::success().field("msgId", "0").field("queueId", queue).field("queueOffset", 0))
}

fn with_time(list: &str, now: u64) -> Value {
    let end = if list.is_empty() || list.ends_with('\u{2}') { "" } else { "\u{2}" };
    Value::Text(ByteString::from(format!("{list}{end}{PUSH_REPLY_TIME}\u{1}{now}\u{2}")))
}
