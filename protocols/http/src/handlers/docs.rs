//! The interface's description, for programs and for people. Each form is made once.

use crate::call::{Call, json_response};
use crate::errors::Problem;
use crate::openapi::{self, page, yaml};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const YAML: &str = "application/yaml";
const HTML: &str = "text/html; charset=utf-8";

static PAGE: LazyLock<String> = LazyLock::new(|| page::render(&openapi::document()));
static AS_YAML: LazyLock<String> = LazyLock::new(|| yaml::write(&openapi::document()));
/// Forbids everything but the page's own style.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(page::STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// `GET /openapi.json`
pub(crate) async fn json(_call: Call) -> Result<Response, Problem> {
    json_response(StatusCode::OK, &openapi::document())
}

/// `GET /openapi.yaml`
pub(crate) async fn yaml(_call: Call) -> Result<Response, Problem> {
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, YAML)], AS_YAML.as_str()).into_response())
}

/// `GET /docs`
pub(crate) async fn html(_call: Call) -> Result<Response, Problem> {
    let headers = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((StatusCode::OK, headers, PAGE.as_str()).into_response())
}
