//! Publishing one message: XML in, its id and digest out.

use super::call::Call;
use super::faults::{Code, Fault};
use super::transactions;
use super::xml::read::{self, NewMessage};
use super::xml::write::{Document, answer};
use super::{handles, properties};
use axum::response::Response;
use http::StatusCode;
use md5::{Digest, Md5};
use sluice_broker::{SendRequest, Sent};
use sluice_model::{Error, ErrorKind, Headers, Keys, Message, Millis, Protocol, Provenance};
use std::time::Duration;

/// The properties that this wire gives a meaning to.
pub(super) mod reserved {
    pub const KEYS: &str = "KEYS";
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    pub const START_DELIVER_TIME: &str = "__STARTDELIVERTIME";
    /// Seconds until the first check; its presence makes a half message. It stays a header, to be read back.
    pub const TRANS_CHECK: &str = "__TransCheckT";
}

pub(super) async fn publish(call: &Call) -> Result<Response, Fault> {
    let document = read::message(&call.document);
    let document = document.map_err(|why| Fault::new(Code::MalformedXML, why.0))?;
    let (message, first_check) = message(call, document)?;
    let digest = body_digest(message.body_bytes());
    let request = SendRequest::one(call.topic.clone(), message);
    let (sent, handle) = match first_check {
        None => (send(call, request).await?, None),
        Some(first_check) => {
            let sent = transactions::prepare(call, request, first_check).await?;
            let handle = handles::of_transaction(sent.locator, &call.topic);
            (sent, Some(handle))
        }
    };
    let mut document = Document::new("Message");
    document.element("MessageId", &sent.id.text());
    document.element("MessageBodyMD5", &digest);
    if let Some(handle) = handle {
        document.element("ReceiptHandle", &handle);
    }
    Ok(answer(StatusCode::CREATED, document))
}

async fn send(call: &Call, request: SendRequest) -> Result<Sent, Fault> {
    let promise = call.broker().send(&call.session, request).map_err(refused)?;
    first(promise.await?)
}

pub(super) fn first(sent: Vec<Sent>) -> Result<Sent, Fault> {
    let nowhere = || Fault::new(Code::InternalError, "the log did not say where the message went");
    sent.into_iter().next().ok_or_else(nowhere)
}

/// The one conflict a send can have is that the topic takes another type of message.
pub(super) fn refused(error: Error) -> Fault {
    match error.kind() {
        ErrorKind::Conflict => Fault::invalid(error.message()),
        _ => error.into(),
    }
}

/// As the cloud shows it; SDKs hand it on without checking it.
pub(super) fn body_digest(body: &[u8]) -> String {
    hex::encode_upper(Md5::digest(body))
}

/// The message, and for a half one how long until its outcome is asked for.
fn message(call: &Call, document: NewMessage) -> Result<(Message, Option<Duration>), Fault> {
    let body = document.body.filter(|body| !body.is_empty());
    let body = body.ok_or_else(|| Fault::invalid("MessageBody is missing or empty"))?;
    let mut special = Special::default();
    let mut headers = Headers::builder();
    for (name, value) in properties::parse(document.properties.as_deref().unwrap_or_default())? {
        if !special.take(name, value)? {
            headers.push(name, Some(value.as_bytes()))?;
        }
    }
    if let Some(first_check) = special.first_check {
        headers.push(reserved::TRANS_CHECK, Some(first_check.as_secs().to_string().as_bytes()))?;
        if special.deliver_at.is_some() {
            return Err(Fault::invalid("a message of a transaction has no delivery time"));
        }
    }
    let message = Message {
        body: Some(body.into()),
        keys: Keys::joined(special.keys),
        tag: document.tag.filter(|tag| !tag.is_empty()).map(Into::into),
        ordering_group: special.sharding_key.map(Into::into),
        headers: headers.build(),
        born: call.broker().now(),
        deliver_at: special.deliver_at,
        provenance: Provenance {
            protocol: Protocol::Http,
            principal: call.session.principal().clone(),
            peer: Some(call.session.peer()),
        },
        ..Message::default()
    };
    Ok((message, special.first_check))
}

#[derive(Default)]
struct Special {
    keys: String,
    sharding_key: Option<String>,
    deliver_at: Option<Millis>,
    first_check: Option<Duration>,
}

impl Special {
    /// False for a property without a meaning here.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, Fault> {
        match name {
            reserved::KEYS => value.clone_into(&mut self.keys),
            reserved::SHARDING_KEY => {
                self.sharding_key = Some(value.to_owned()).filter(|key| !key.is_empty())
            }
            reserved::START_DELIVER_TIME => self.deliver_at = Some(number(name, value)?),
            reserved::TRANS_CHECK => {
                let seconds = number(name, value)?;
                if !transactions::FIRST_CHECK.contains(&seconds) {
                    let (low, high) = transactions::FIRST_CHECK.into_inner();
                    let text = format!("the value of {name} should be between {low} and {high} seconds");
                    return Err(Fault::invalid(text));
                }
                self.first_check = Some(Duration::from_secs(seconds));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn number(name: &str, value: &str) -> Result<u64, Fault> {
    value.trim().parse().map_err(|_| Fault::invalid(format!("the value of {name} is not a number")))
}
