//! Health, metrics, the interface's description, and who one is.

use crate::auth;
use crate::call::{Call, JSON, TEXT, json_response};
use crate::counts;
use crate::errors::{Code, Problem};
use crate::openmetrics::{self, OPENMETRICS, OPENMETRICS_1};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use serde_json::json;
use sluice_auth::Action;

/// The version of the text format of Prometheus that the exporter writes.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Serialize)]
struct Health {
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: &'static str,
}

fn health(call: &Call, checks: Vec<Check>, fatal: &[&str]) -> Result<Response, Problem> {
    let failed = checks.iter().any(|check| !check.ok && fatal.contains(&check.name));
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let word = if failed { "unavailable" } else { "ok" };
    let json = failed || call.query.flag("verbose")?.unwrap_or(false) || call.accept(&[TEXT, JSON])? == JSON;
    let mut response = match json {
        true => json_response(status, &Health { status: word, checks })?,
        false => (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{word}\n"))
            .into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if failed {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// `GET /livez`, `GET /healthz`
pub(crate) async fn live(call: Call) -> Result<Response, Problem> {
    health(&call, vec![Check { name: "process", ok: true, detail: "serving" }], &[])
}

/// `GET /readyz`: able to serve. A full disk refuses writes with their own error, and consumers must come and drain.
pub(crate) async fn ready(call: Call) -> Result<Response, Problem> {
    let writable = call.query.flag("writable")?.unwrap_or(false);
    let draining = call.caller.drain.is_draining();
    let (log, space) = (call.broker().is_ready(), call.broker().accepts_messages());
    let say = |ok, yes, no| if ok { yes } else { no };
    let checks = vec![
        Check { name: "drain", ok: !draining, detail: say(!draining, "not shutting down", "shutting down") },
        Check { name: "log", ok: log, detail: say(log, "working", "failed") },
        Check { name: "space", ok: space, detail: say(space, "messages are accepted", "the disk is full") },
    ];
    health(&call, checks, if writable { &["drain", "log", "space"] } else { &["drain", "log"] })
}

/// `GET /metrics`
pub(crate) async fn metrics(call: Call) -> Result<Response, Problem> {
    // There is none where `http.metrics_login` asks nobody.
    if let Some(session) = &call.session {
        call.broker().permit_cluster(session, Action::Get)?;
    }
    let open = call.accept(&[TEXT, OPENMETRICS])? == OPENMETRICS;
    counts::sample(&call.app);
    call.app.metrics.run_upkeep();
    let text = call.app.metrics.render();
    let (media, text) = match open {
        true => (OPENMETRICS_1, openmetrics::from_prometheus(&text)),
        false => (PROMETHEUS, text),
    };
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, media), (header::VARY, "accept")], text).into_response())
}

/// `GET /v1/version`
pub(crate) async fn version(call: Call) -> Result<Response, Problem> {
    let commit = call.app.commit.get();
    let features = ["batch", "lease", "long-poll", "raw-receive", "sse", "ndjson", "delay", "dead-letter"];
    json_response(
        StatusCode::OK,
        &json!({"name": "sluice", "version": env!("CARGO_PKG_VERSION"), "commit": commit, "api": "v1", "features": features}),
    )
}

/// `GET /v1/whoami`
pub(crate) async fn whoami(call: Call) -> Result<Response, Problem> {
    let session = call.session()?;
    let name = (!session.is_anonymous()).then(|| session.principal().to_string());
    let address = session.peer().ip().to_string();
    json_response(
        StatusCode::OK,
        &json!({
            "principal": name,
            "anonymous": session.is_anonymous(),
            "scheme": auth::scheme(&call)?,
            "roles": call.broker().auth().roles_of(session),
            "address": address,
        }),
    )
}

/// `GET /problems/{code}`: the `type` of every problem document leads here.
pub(crate) async fn problem(call: Call) -> Result<Response, Problem> {
    let word = call.segment(0)?;
    let code = Code::ALL.iter().find(|code| code.as_str() == word);
    let code =
        code.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no problem code {word:?}")))?;
    json_response(
        StatusCode::OK,
        &json!({
            "code": code.as_str(),
            "title": code.title(),
            "status": code.status().as_u16(),
            "retryable": code.retryable(),
        }),
    )
}
