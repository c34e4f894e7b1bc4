//! What became of a message: the records of it that are kept, and each thing that happened to them.

use crate::call::{Call, json_response};
use crate::convert::{BodyMode, message_json};
use crate::errors::Problem;
use crate::params::format_time;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_broker::{TraceEvent, TraceRequest, TraceStep};
use sluice_model::Millis;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Life {
    message_id: String,
    topic: String,
    messages: Vec<Box<RawValue>>,
    events: Vec<Event>,
    next: Option<String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    at: String,
    event: &'static str,
    topic: String,
    queue: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<u32>,
    /// The end of a lease, or the earliest next delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<TraceEvent> for Event {
    fn from(told: TraceEvent) -> Self {
        let base = Self {
            at: format_time(told.at),
            topic: told.topic.to_string(),
            queue: told.queue.0,
            offset: told.offset,
            group: told.group.map(|group| group.to_string()),
            ..Self::default()
        };
        base.with(told.step)
    }
}

impl Event {
    fn with(self, step: TraceStep) -> Self {
        let until = |time: Millis| Some(format_time(time));
        match step {
            TraceStep::Stored => Self { event: "stored", ..self },
            TraceStep::Delayed { until: time } => Self { event: "delayed", until: until(time), ..self },
            TraceStep::Recalled => Self { event: "recalled", ..self },
            TraceStep::Prepared => Self { event: "prepared", ..self },
            TraceStep::Asked { checks } => Self { event: "asked", checks: Some(checks), ..self },
            TraceStep::Committed => Self { event: "committed", ..self },
            TraceStep::RolledBack => Self { event: "rolledBack", ..self },
            TraceStep::GivenUp => Self { event: "givenUp", ..self },
            TraceStep::Delivered { attempt, until: time, taker } => {
                let (consumer, address) = taker.unzip();
                Self {
                    event: "delivered",
                    deliveries: Some(attempt),
                    until: time.and_then(until),
                    consumer: consumer.filter(|name| !name.is_empty()),
                    address: address.map(|address| address.to_string()),
                    ..self
                }
            }
            TraceStep::Extended { until: time } => Self { event: "extended", until: until(time), ..self },
            TraceStep::Acknowledged => Self { event: "acknowledged", ..self },
            TraceStep::Returned { attempts, visible_at } => {
                Self { event: "returned", deliveries: Some(attempts), until: until(visible_at), ..self }
            }
            TraceStep::PassedOver => Self { event: "passedOver", ..self },
            TraceStep::OffsetBehind => Self { event: "offsetBehind", ..self },
            TraceStep::OffsetBefore => Self { event: "offsetBefore", ..self },
            TraceStep::Retried { attempts, until: time } => {
                Self { event: "retried", deliveries: Some(attempts), until: until(time), ..self }
            }
            TraceStep::DeadLettered { reason } => {
                Self { event: "deadLettered", reason: Some(reason), ..self }
            }
        }
    }
}

/// `GET /v1/messages/{message}/trace`: without a topic, of the newest message with this id.
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let id = call.segment(0)?;
    let topic = call.topic_asked()?;
    let after = call.query.number("cursor", 0..=u64::MAX)?;
    let request = TraceRequest { topic: topic.as_ref(), id, after };
    let trace = call.broker().trace(call.session()?, &request).await?;
    let messages = trace.messages.iter().map(|m| message_json(m, None, BodyMode::None, None, 0));
    let life = Life {
        message_id: id.to_owned(),
        topic: trace.topic.to_string(),
        messages: messages.collect::<Result<_, _>>()?,
        events: trace.events.into_iter().map(Event::from).collect(),
        next: trace.next.map(|next| next.to_string()),
    };
    json_response(StatusCode::OK, &life)
}
