//! The broker as a whole: one node, what it keeps, and how full its disk is.

use crate::call::{Call, json_response};
use crate::errors::Problem;
use crate::page;
use crate::params::format_time;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use sluice_auth::Action;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    nodes: usize,
    ready: bool,
    accepts_messages: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: &'static str,
    version: &'static str,
    commit: Option<&'static str>,
    started_at: String,
    ready: bool,
    draining: bool,
    accepts_messages: bool,
}

#[derive(Serialize)]
struct Nodes {
    items: Vec<Node>,
    next: Option<String>,
}

/// `GET /v1/cluster`: Sluice is one process, so there is one node.
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    permit(&call)?;
    let (ready, accepts_messages) = (call.broker().is_ready(), call.broker().accepts_messages());
    json_response(StatusCode::OK, &Cluster { nodes: 1, ready, accepts_messages })
}

/// `GET /v1/cluster/nodes`
pub(crate) async fn nodes(call: Call) -> Result<Response, Problem> {
    permit(&call)?;
    let node = Node {
        name: "sluice",
        version: env!("CARGO_PKG_VERSION"),
        commit: call.app.commit.get().copied(),
        started_at: format_time(call.app.started),
        ready: call.broker().is_ready(),
        draining: call.caller.drain.is_draining(),
        accepts_messages: call.broker().accepts_messages(),
    };
    let (items, next) = page::cut([node], &call.query, |node| node.name)?;
    json_response(StatusCode::OK, &Nodes { items, next })
}

fn permit(call: &Call) -> Result<(), Problem> {
    Ok(call.broker().permit_cluster(call.session()?, Action::Get)?)
}
