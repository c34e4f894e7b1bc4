//! A broker with users and a clock of the test's, and requests of the cloud's protocol signed for it.

#![allow(dead_code)]

use crate::support::{Answer, Server, server_on};
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sluice_auth::{AclFile, Auth, Command};
use sluice_broker::{Broker, Config as BrokerConfig};
use sluice_http::Config;
use sluice_model::ManualClock;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Tue, 06 Jan 2026 08:00:00 GMT
pub const NOW: u64 = 1_767_686_400_000;
pub const TARGET: &str = "/topics/t/messages";

const ACL: &str = r#"
[[users]]
name = "AccessKeyId"
secret = "secretExample"
superuser = true
[[users]]
name = "limited"
secret = "secretExample"
[[policies]]
subject = "limited"
resource = "Topic:t"
actions = ["Sub"]
[[policies]]
subject = "limited"
resource = "Group:g"
actions = ["Sub"]
[[users]]
name = "slow"
secret = "secretExample"
superuser = true
quota = { messages_per_second = 1 }
"#;

pub struct Cloud {
    pub server: Server,
    pub clock: Arc<ManualClock>,
    pub user: &'static str,
}

pub async fn cloud() -> Cloud {
    cloud_with(Config::default(), BrokerConfig::default()).await
}

pub async fn cloud_with(config: Config, broker: BrokerConfig) -> Cloud {
    let clock = Arc::new(ManualClock::new(NOW));
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock.clone(), broker).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(ACL).unwrap())).await.unwrap();
    Cloud { server: server_on(broker, config), clock, user: "AccessKeyId" }
}

impl Cloud {
    pub fn date(&self) -> String {
        use sluice_model::Clock;
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(self.clock.now()))
    }

    /// The headers that a client sends with a request, signed; `more` are lines that are not.
    pub fn signed(&self, method: &str, target: &str, more: &[&str]) -> Vec<String> {
        let (date, kind) = (self.date(), "text/xml;charset=UTF-8");
        let text = format!("{method}\n\n{kind}\n{date}\nx-mq-version:2015-06-06\n{target}");
        let mut lines = vec![
            format!("Authorization: MQ {}:{}", self.user, sign(&text)),
            format!("Date: {date}"),
            format!("Content-Type: {kind}"),
            "x-mq-version: 2015-06-06".to_owned(),
            "Host: mq.example.com".to_owned(),
        ];
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        lines
    }

    pub async fn call(&self, method: &str, target: &str, body: impl Into<Body>) -> Answer {
        let headers = self.signed(method, target, &[]);
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        self.server.call(method, target, &headers, body).await
    }

    pub async fn publish(&self, body: &str, properties: &str) -> Answer {
        self.call("POST", TARGET, message(body, "", properties)).await
    }

    pub async fn consume(&self, more: &str) -> Answer {
        self.call("GET", &format!("{TARGET}?consumer=g{more}"), "").await
    }

    pub async fn acknowledge(&self, handles: &[String], more: &str) -> Answer {
        self.call("DELETE", &format!("{TARGET}?consumer=g{more}"), receipts(handles)).await
    }
}

pub fn sign(text: &str) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(b"secretExample").unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

pub fn message(body: &str, tag: &str, properties: &str) -> String {
    let part = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!("<{name}>{text}</{name}>"),
    };
    let parts = [part("MessageBody", body), part("MessageTag", tag), part("Properties", properties)].concat();
    format!("<?xml version=\"1.0\"?><Message xmlns=\"http://mq.aliyuncs.com/doc/v1/\">{parts}</Message>")
}

pub fn receipts(handles: &[String]) -> String {
    let list: String = handles.iter().map(|h| format!("<ReceiptHandle>{h}</ReceiptHandle>")).collect();
    format!("<ReceiptHandles>{list}</ReceiptHandles>")
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The texts of every element of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts = self.text().split(&open).skip(1);
        parts.map(|part| part.split(&close).next().unwrap().to_owned()).collect()
    }

    pub fn one(&self, name: &str) -> String {
        let mut all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {}", self.text());
        all.remove(0)
    }

    /// An answer of this protocol with that status.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("x-mq-version"), "2015-06-06");
        assert_eq!(self.header("x-mq-request-id").len(), 24);
        if status == 204 {
            assert!(self.body.is_empty());
        } else {
            assert_eq!(self.header("content-type"), "text/xml;charset=UTF-8");
        }
        self
    }

    /// Checks that the request failed as a whole, under that name.
    pub fn fails(self, status: u16, code: &str) -> Self {
        let answer = self.is(status);
        let id = answer.header("x-mq-request-id");
        let start = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error xmlns=\"http://mq.aliyuncs.com/doc/v1\"><Code>{code}</Code><Message>"
        );
        let end =
            format!("</Message><RequestId>{id}</RequestId><HostId>http://mq.example.com</HostId></Error>");
        let text = answer.text();
        assert!(text.starts_with(&start) && text.ends_with(&end), "{code}: {text}");
        answer
    }
}
