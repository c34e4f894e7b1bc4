//! The broker itself: how much came (315), what there is to clean (306, 316), settings (25).

use super::super::{Call, Result, json, stats};
use crate::codes::response::{NO_PERMISSION, SYSTEM_ERROR};
use crate::errors::Failure;
use crate::response::Response;
use serde_json::{Value, json};
use sluice_auth::Action;
use sluice_model::{ErrorKind, TopicName};

/// The one statistic that the log itself can tell.
const TOPIC_PUT_NUMS: &str = "TOPIC_PUT_NUMS";
const MINUTE: u64 = 60;

/// 315: how many messages a topic got in the last minute, hour and day. What groups got is not counted.
pub(super) async fn statistics(call: Call) -> Result<Response> {
    let (name, key) = (call.text("statsName")?, call.text("statsKey")?);
    let none = || Failure::new(SYSTEM_ERROR, format!("The stats <{name}> <{key}> not exist"));
    if *name != TOPIC_PUT_NUMS {
        return Err(none());
    }
    let topic = TopicName::new(key.clone())?;
    let view = call.node.broker.topic(&call.session, &topic).map_err(|error| match error.kind() {
        ErrorKind::TopicNotFound => none(),
        _ => error.into(),
    })?;
    let now = call.node.broker.now();
    let mut spans = Vec::with_capacity(3);
    for seconds in [MINUTE, 60 * MINUTE, 24 * 60 * MINUTE] {
        let sum = stats::since(&call, &view, now.saturating_sub(seconds * 1000)).await?;
        spans.push(json!({ "avgpt": 0.0, "sum": sum, "tps": sum as f64 / seconds as f64 }));
    }
    let mut span = spans.into_iter();
    let mut next = || span.next().unwrap_or(Value::Null);
    let body = json!({ "statsMinute": next(), "statsHour": next(), "statsDay": next() });
    Ok(Response::success().body(json::write(&body)?))
}

/// 306, 316: an index belongs to its segment, and a deleted topic's is gone with it. So nothing is ever left behind,
/// and what is asked for is the case already.
pub(super) fn clean(call: &Call) -> Result<Response> {
    call.node.broker.permit_cluster(&call.session, Action::Update)?;
    let remark = Some("there is nothing to clean: indexes go with their segments and topics".into());
    Ok(Response { remark, ..Response::success() })
}

/// Settings that people change at stock brokers, and where they are changed here.
const ELSEWHERE: [(&str, &str); 5] = [
    ("autoCreateTopicEnable", "topics.auto_create"),
    ("defaultTopicQueueNums", "broker.default_queues"),
    ("maxMessageSize", "broker.max_message_size"),
    ("fileReservedTime", "broker.retention"),
    ("messageDelayLevel", "remoting.delay_levels"),
];

/// 25: no setting can be changed while running.
pub(super) fn change_settings(call: &Call) -> Failure {
    let body = String::from_utf8_lossy(&call.frame.body);
    let asked = |name: &str| body.lines().any(|l| l.split_once('=').is_some_and(|(n, _)| n.trim() == name));
    let here: Vec<String> = ELSEWHERE
        .iter()
        .filter(|(theirs, _)| asked(theirs))
        .map(|(theirs, ours)| format!("; {theirs} is {ours} there"))
        .collect();
    let text = "settings are not changed while running; change the configuration file and restart";
    Failure::new(NO_PERMISSION, format!("{text}{}", here.concat()))
}
