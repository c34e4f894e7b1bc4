//! Who is connected, over any wire, and closing one of them.

use crate::call::{Call, json_response, no_content};
use crate::errors::{Code, Problem};
use crate::page;
use crate::params::format_time;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use sluice_broker::ConnectionView;

#[derive(Serialize)]
struct Connection {
    id: String,
    peer: String,
    listener: &'static str,
    protocol: Option<&'static str>,
    tls: Option<bool>,
    since: String,
    user: Option<String>,
}

#[derive(Serialize)]
struct Connections {
    items: Vec<Connection>,
    next: Option<String>,
}

impl From<ConnectionView> for Connection {
    fn from(open: ConnectionView) -> Self {
        Self {
            id: open.number.to_string(),
            peer: open.peer.to_string(),
            listener: open.listener,
            protocol: open.protocol,
            tls: open.tls,
            since: format_time(open.since),
            user: open.user.map(String::from),
        }
    }
}

/// `GET /v1/connections`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = page::limit(&call.query)?;
    let after = call.query.number("cursor", 0..=u64::MAX)?.unwrap_or(0);
    let mut open = call.broker().connections(call.session()?, after, limit + 1)?;
    let more = open.len() > limit;
    open.truncate(limit);
    let next = open.last().filter(|_| more).map(|last| last.number.to_string());
    let items = open.into_iter().map(Connection::from).collect();
    json_response(StatusCode::OK, &Connections { items, next })
}

/// `DELETE /v1/connections/{connection}`
pub(crate) async fn close(call: Call) -> Result<Response, Problem> {
    let id = call.segment(0)?;
    let unknown = || Problem::new(Code::ConnectionNotFound, format!("there is no open connection {id:?}"));
    let number: u64 = id.parse().map_err(|_| unknown())?;
    match call.broker().close_connection(call.session()?, number)? {
        true => Ok(no_content()),
        false => Err(unknown()),
    }
}
