//! What clients say on each wire.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use std::time::SystemTime;

/// A frame of remoting with a JSON header.
pub fn remoting(code: i32, fields: Value, body: &str) -> Vec<u8> {
    let header = json!({ "code": code, "language": "JAVA", "version": 479, "opaque": 1, "flag": 0,
        "extFields": fields, "serializeTypeCurrentRPC": "JSON" })
    .to_string();
    let length = (4 + header.len() + body.len()) as u32;
    let parts =
        [&length.to_be_bytes()[..], &(header.len() as u32).to_be_bytes(), header.as_bytes(), body.as_bytes()];
    parts.concat()
}

/// The fields of a request that `app` has signed.
pub fn signed(fields: Map<String, Value>, body: &str) -> Value {
    signed_by("app", "apps-secret", fields, body)
}

fn signed_by(user: &str, secret: &str, mut fields: Map<String, Value>, body: &str) -> Value {
    fields.insert("AccessKey".to_owned(), json!(user));
    let mut names: Vec<_> = fields.keys().cloned().collect();
    names.sort();
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret.as_bytes()).expect("any key is good");
    names.iter().for_each(|name| mac.update(fields[name].as_str().unwrap_or_default().as_bytes()));
    mac.update(body.as_bytes());
    fields.insert("Signature".to_owned(), json!(STANDARD.encode(mac.finalize().into_bytes())));
    fields.into()
}

/// The question for all topics, by somebody.
pub fn remoting_by(user: &str, secret: &str) -> Vec<u8> {
    remoting(21, signed_by(user, secret, Map::new(), ""), "")
}

pub fn send_message() -> Vec<u8> {
    let fields = json!({
        "producerGroup": "p", "topic": "t", "defaultTopic": "TBW102", "defaultTopicQueueNums": "1", "queueId": "0",
        "sysFlag": "0", "bornTimestamp": "1", "flag": "0", "properties": "", "reconsumeTimes": "0",
        "unitMode": "false", "batch": "false",
    });
    let Value::Object(fields) = fields else { unreachable!("an object") };
    remoting(10, signed(fields, "body"), "body")
}

pub fn http(method: &str, target: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub fn basic() -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode("app:apps-secret"))
}

/// A request of the cloud's protocol that `app` has signed.
pub fn cloud(method: &str, target: &str, body: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let text = format!("{method}\n\n\n{date}\nx-mq-version:2015-06-06\n{target}");
    let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(b"apps-secret").expect("any key is good");
    let signature = STANDARD.encode(mac.chain_update(text).finalize().into_bytes());
    let more = format!("Authorization: MQ app:{signature}\r\nDate: {date}\r\nx-mq-version: 2015-06-06\r\n");
    http(method, target, &more, body)
}

pub fn stomp_connect() -> &'static [u8] {
    b"CONNECT\naccept-version:1.2\nhost:x\nlogin:app\npasscode:apps-secret\n\n\0"
}

pub fn stomp_connect_as(user: &str, secret: &str) -> Vec<u8> {
    format!("CONNECT\naccept-version:1.2\nhost:x\nlogin:{user}\npasscode:{secret}\n\n\0").into_bytes()
}

/// The fields of a pull from the beginning that does not wait and says itself what it subscribes to.
pub fn pull(group: &str) -> Map<String, Value> {
    let fields = json!({
        "consumerGroup": group, "topic": "t", "queueId": "0", "queueOffset": "0", "maxMsgNums": "2", "sysFlag": "4",
        "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "1",
        "expressionType": "TAG",
    });
    let Value::Object(fields) = fields else { unreachable!("an object") };
    fields
}
