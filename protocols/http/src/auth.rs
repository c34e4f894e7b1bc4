//! Where HTTP keeps credentials: `Authorization: Basic` or `Bearer`, or the client's certificate.

use crate::app::App;
use crate::errors::{Code, Problem};
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sluice_auth::{Credentials, Session};
use sluice_model::ErrorKind;
use std::net::SocketAddr;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// What a request showed.
enum Shown {
    Nothing,
    Basic(String, String),
    Bearer(String),
}

/// Logs a request in.
pub async fn login(
    app: &App,
    headers: &HeaderMap,
    certificate: Option<&[u8]>,
    peer: SocketAddr,
) -> Result<Session, Problem> {
    let shown = read(headers)?;
    let bearer = matches!(shown, Shown::Bearer(_));
    let session = match (&shown, certificate) {
        (Shown::Basic(user, password), _) => {
            app.broker.login(Credentials::Password { user, password }, peer).await
        }
        (Shown::Bearer(token), _) => app.broker.login_now(Credentials::Bearer { token }, peer),
        (Shown::Nothing, Some(der)) => app.broker.login_now(Credentials::Certificate { der }, peer),
        (Shown::Nothing, None) => app.broker.login_now(Credentials::Anonymous, peer),
    };
    session.map_err(|error| {
        let refused = error.kind() == ErrorKind::Unauthenticated;
        if refused {
            metrics::counter!("sluice_http_logins_refused_total").increment(1);
        }
        let problem = Problem::from(error);
        if refused { problem.challenge(bearer) } else { problem }
    })
}

fn read(headers: &HeaderMap) -> Result<Shown, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Shown::Nothing) };
    if values.next().is_some() {
        return Err(Problem::new(Code::BadRequest, "several Authorization headers; give one"));
    }
    let wrong = |detail: &str| Problem::new(Code::Unauthenticated, detail);
    let text = value.to_str().map_err(|_| wrong("the Authorization header is not readable"))?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        basic(rest).ok_or_else(|| wrong("the Basic credentials are not Base64 of user:password"))
    } else if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        Ok(Shown::Bearer(rest.to_owned()))
    } else {
        Err(wrong("the Authorization header is neither Basic nor Bearer"))
    }
}

fn basic(encoded: &str) -> Option<Shown> {
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Shown::Basic(user.to_owned(), password.to_owned()))
}
