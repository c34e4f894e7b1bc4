//! What a handler is given: one request, decoded as far as its route says and logged in.

use crate::app::{App, WaitPlace};
use crate::body::RequestBody;
use crate::errors::{Code, Problem};
use crate::identity::Identity;
use crate::params::Query;
use crate::websocket::Handover;
use crate::{convert, json, namespace};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_auth::Session;
use sluice_broker::Broker;
use sluice_model::{GroupName, Provenance, TopicName};
use sluice_net::Drain;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

pub(crate) const JSON: &str = "application/json";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
pub(crate) const OCTETS: &str = "application/octet-stream";
pub(crate) const TEXT: &str = "text/plain";
/// What a small answer takes, mostly.
const ROOM: usize = 256;

/// What is known of the connection a request came by.
pub struct Caller {
    pub peer: SocketAddr,
    /// It came through TLS.
    pub secure: bool,
    /// The client's certificate, as DER.
    pub certificate: Option<Bytes>,
    /// Whose requests the connection has carried.
    pub identity: Arc<Identity>,
    pub drain: Drain,
    /// Owns what is still being done for this connection after an answer.
    pub tracker: TaskTracker,
    /// Where a request leaves what the connection becomes.
    pub(crate) handover: Handover,
}

impl Default for Caller {
    /// A caller without a connection, as tests have it.
    fn default() -> Self {
        Self {
            peer: (Ipv4Addr::LOCALHOST, 0).into(),
            secure: false,
            certificate: None,
            identity: Arc::default(),
            drain: Drain::new(),
            tracker: TaskTracker::new(),
            handover: Handover::default(),
        }
    }
}

/// One request.
pub struct Call {
    pub app: Arc<App>,
    /// None where the route asks for no login.
    pub session: Option<Session>,
    pub caller: Arc<Caller>,
    /// The path's variable parts, decoded, in order.
    pub path: Vec<String>,
    pub query: Query,
    pub headers: HeaderMap,
    /// The headers ask for nothing special.
    pub plain: bool,
    pub body: RequestBody,
    /// What names are within; empty for none.
    pub namespace: Box<str>,
}

impl Call {
    pub fn broker(&self) -> &Broker {
        &self.app.broker
    }

    /// Who asks.
    pub fn session(&self) -> Result<&Session, Problem> {
        self.session.as_ref().ok_or_else(|| Problem::new(Code::Unauthenticated, "this call needs a login"))
    }

    /// The n-th variable part of the path.
    pub fn segment(&self, n: usize) -> Result<&str, Problem> {
        self.path
            .get(n)
            .map(String::as_str)
            .ok_or_else(|| Problem::new(Code::NotFound, "the path is incomplete"))
    }

    /// The topic that the path begins with.
    pub fn topic(&self) -> Result<TopicName, Problem> {
        self.topic_named(self.segment(0)?)
    }

    /// A topic as the call names it.
    pub fn topic_named(&self, name: &str) -> Result<TopicName, Problem> {
        match self.namespace.is_empty() {
            true => convert::topic(name),
            false => convert::topic(&namespace::within(&self.namespace, name)),
        }
    }

    /// The topic of the parameter `topic`, if there is one.
    pub fn topic_asked(&self) -> Result<Option<TopicName>, Problem> {
        self.query.get("topic")?.map(|name| self.topic_named(name)).transpose()
    }

    /// The group that the path begins with.
    pub fn group(&self) -> Result<GroupName, Problem> {
        self.group_named(self.segment(0)?)
    }

    /// A group as the call names it.
    pub fn group_named(&self, name: &str) -> Result<GroupName, Problem> {
        match self.namespace.is_empty() {
            true => convert::group(name),
            false => convert::group(&namespace::within(&self.namespace, name)),
        }
    }

    /// Lets the head of the request go, and with it the buffer that it lies in: who waits for long needs little.
    pub fn forget_head(&mut self) {
        self.headers = HeaderMap::new();
    }

    /// A place among the long polls and streams.
    pub fn wait_place(&self) -> Result<WaitPlace, Problem> {
        self.app.wait_place(self.session()?.principal())
    }

    /// Resolves with what to say when whoever asks must wait no longer: their user is gone, or their token has expired.
    pub async fn revoked(&self) -> Problem {
        match self.session() {
            Ok(session) => {
                self.broker().session_ended(session).await;
                Problem::new(Code::Unauthenticated, "the credentials of this request are no longer good")
            }
            Err(problem) => problem,
        }
    }

    /// What a message of this call says about its sender.
    pub fn provenance(&self) -> Result<Provenance, Problem> {
        let session = self.session()?;
        Ok(Provenance {
            protocol: sluice_model::Protocol::Http,
            principal: session.principal().clone(),
            peer: Some(session.peer()),
        })
    }

    /// Whether a list that is asked for names that begin so, within the call's namespace, has this one.
    pub fn lists(&self, name: &str, prefix: &str) -> bool {
        match (self.namespace.is_empty(), namespace::of(name)) {
            (true, _) => name.starts_with(prefix),
            (false, Some((own, rest))) => own == &*self.namespace && rest.starts_with(prefix),
            (false, None) => false,
        }
    }

    /// True when the call is only to say what would happen.
    pub fn dry_run(&self) -> Result<bool, Problem> {
        Ok(self.query.flag("dryRun")?.unwrap_or(false))
    }

    /// False when the request has certainly none.
    pub fn has_body(&self) -> bool {
        self.body.declared() != Some(0)
    }

    /// The media type of the body, lower-case and without parameters.
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The JSON body of a call that takes nothing else.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let media = self.media_type();
        let acceptable = media
            .as_deref()
            .is_none_or(|m| m == JSON || (m.starts_with("application/") && m.ends_with("+json")));
        if !acceptable {
            return Err(unsupported_media(media.as_deref(), JSON));
        }
        let bytes = self.body.read(self.app.config.max_json_body.bytes(), Code::BodyTooLarge).await?;
        json::decode(&bytes, self.app.config.max_json_depth)
    }

    /// The best of the offered media types by `Accept`; the first offered one when the client does not care.
    pub fn accept<'a>(&self, offered: &[&'a str]) -> Result<&'a str, Problem> {
        if self.plain
            && let Some(first) = offered.first()
        {
            return Ok(first);
        }
        let accept: Vec<&str> =
            self.headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
        if accept.is_empty() {
            return offered
                .first()
                .copied()
                .ok_or_else(|| Problem::new(Code::NotAcceptable, "nothing is offered"));
        }
        let mut best: Option<(&str, f32)> = None;
        for offer in offered {
            let quality = quality(&accept.join(","), offer);
            if quality > best.map_or(0.0, |(_, q)| q) {
                best = Some((offer, quality));
            }
        }
        best.map(|(offer, _)| offer).ok_or_else(|| {
            Problem::new(Code::NotAcceptable, format!("this call answers {}", offered.join(", ")))
        })
    }
}

/// How much a client wants one media type: the most specific matching range counts.
fn quality(accept: &str, offer: &str) -> f32 {
    let mut found = (0, 0.0);
    for part in accept.split(',') {
        let mut pieces = part.split(';').map(str::trim);
        let range = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let quality = pieces.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let specific = match range.as_str() {
            r if r == offer => 3,
            r if r.strip_suffix('*').is_some_and(|r| r.len() > 2 && offer.starts_with(r)) => 2,
            "*/*" | "*" => 1,
            _ => continue,
        };
        if specific > found.0 {
            found = (specific, quality);
        }
    }
    found.1
}

/// A body whose media type the call does not take.
pub(crate) fn unsupported_media(found: Option<&str>, takes: &str) -> Problem {
    let found = found.unwrap_or("no media type");
    let hint = if found == convert::FORM {
        "; curl sends this for -d, use --json or -H 'Content-Type: …'"
    } else {
        ""
    };
    Problem::new(Code::UnsupportedMediaType, format!("the body is {found}, this call takes {takes}{hint}"))
        .header(http::HeaderName::from_static("accept-post"), takes)
}

/// A JSON answer with a line end, which is kind to terminals.
pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let mut body = Vec::with_capacity(ROOM);
    serde_json::to_writer(&mut body, value).map_err(|e| Problem::from(sluice_model::Error::internal(e)))?;
    body.push(b'\n');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    Ok(response)
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use super::quality;

    #[test]
    fn the_most_specific_range_counts() {
        assert_eq!(quality("*/*", "application/json"), 1.0);
        assert_eq!(quality("text/*;q=0.5, */*;q=0.1", "text/plain"), 0.5);
        assert_eq!(quality("text/plain;q=0, text/*", "text/plain"), 0.0);
        assert_eq!(quality("image/png", "text/plain"), 0.0);
    }
}
