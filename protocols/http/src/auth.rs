//! Where HTTP keeps credentials: the header `Authorization`, or the client's certificate.
//!
//! | scheme | for | in |
//! |---|---|---|
//! | `Basic` | a name and a password, secret or token | here |
//! | `Bearer` | a JWT or an API token | here |
//! | the parameter `access_token` | the same, for streams in browsers, which cannot set headers | here |
//! | `AWS4-HMAC-SHA256` and its like | `curl --aws-sigv4`: the secret signs request and body | `sigv4` |
//! | `MQ` | the cloud's HTTP clients: the secret signs the request | `mq` |
//!
//! A signature that covers the body is checked once the body is read, so that a signed body is bounded by
//! `http.max_signed_body`. Who is who is decided by the broker alone; here proof is found and written down.

pub(crate) mod mq;
mod sigv4;

use crate::app::App;
use crate::body::RequestBody;
use crate::call::{Call, Caller};
use crate::errors::{Code, Problem};
use crate::forwarded;
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use sluice_auth::{Credentials, Reason, Session};
use sluice_model::{Error, ErrorKind};
use std::net::SocketAddr;

/// The parameter of a token in a query.
pub(crate) const ACCESS_TOKEN: &str = "access_token";

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// What a request showed.
enum Shown<'a> {
    Nothing,
    Basic(String, String),
    Bearer(&'a str),
    /// A token as well, for those who cannot set headers.
    InQuery(&'a str),
    SigV4(sigv4::Claim<'a>),
    Mq(mq::Claim<'a>),
}

/// Logs a request in. The body is read here if the proof covers it, and stays readable.
pub async fn login(
    app: &App,
    head: &Parts,
    body: &mut RequestBody,
    caller: &Caller,
    in_query: bool,
) -> Result<Session, Problem> {
    let token = if in_query { token_in_query(&head.uri)? } else { None };
    let shown = match (read(&head.headers)?, &token) {
        (shown, None) => shown,
        (Shown::Nothing, Some(token)) => Shown::InQuery(token),
        (_, Some(_)) => {
            let detail = "credentials in the header Authorization and in the query; give one";
            return Err(Problem::new(Code::BadRequest, detail));
        }
    };
    let bearer = matches!(shown, Shown::Bearer(_) | Shown::InQuery(_));
    let peer = forwarded::client(app, &head.headers, caller.peer);
    let session = match (&shown, caller.certificate.as_deref()) {
        (Shown::Basic(..), _) if !caller.secure && !app.config.plain_basic => {
            return Err(Problem::new(
                Code::Forbidden,
                "passwords are taken over TLS alone (http.plain_basic)",
            ));
        }
        (Shown::Basic(user, password), _) => {
            // Hashing takes long and much; the other ways in are not to carry its room.
            Box::pin(app.broker.login(Credentials::Password { user, password }, peer)).await
        }
        (Shown::Bearer(token), _) => app.broker.login_now(Credentials::Bearer { token }, peer),
        (Shown::InQuery(token), _) => return by_query(app, token, peer),
        (Shown::SigV4(claim), _) if claim.is_temporary(&head.headers) => return Err(wrong(mq::TEMPORARY)),
        (Shown::SigV4(claim), _) => {
            let body = Box::pin(read_body(app, body)).await?;
            let (texts, signed_at) = (claim.texts(head, &body)?, claim.signed_at()?);
            app.broker.login_now(claim.credentials(&claim.scope(), &texts, signed_at), peer)
        }
        (Shown::Mq(_), _) if mq::is_temporary(&head.headers) => return Err(wrong(mq::TEMPORARY)),
        (Shown::Mq(claim), _) => {
            let (texts, signed_at) = (mq::texts(head)?, mq::signed_at(&head.headers)?);
            let session = app.broker.login_now(claim.credentials(&texts, signed_at), peer);
            if session.is_ok() && mq::has_digest(&head.headers) {
                mq::check_digest(&head.headers, &Box::pin(read_body(app, body)).await?)?;
            }
            session
        }
        (Shown::Nothing, Some(der)) => app.broker.login_now(Credentials::Certificate { der }, peer),
        (Shown::Nothing, None) => app.broker.login_now(Credentials::Anonymous, peer),
    };
    session.map_err(|error| {
        let refused = error.kind() == ErrorKind::Unauthenticated;
        if refused {
            metrics::counter!("sluice_http_logins_refused_total").increment(1);
        }
        match refused {
            true => Problem::new(refusal(&error, &shown), error.message()).challenge(bearer),
            false => Problem::from(error),
        }
    })
}

/// Proves who asks by a token of the query, which has to end soon.
pub(crate) fn by_query(app: &App, token: &str, peer: SocketAddr) -> Result<Session, Problem> {
    let session = app.broker.login_now(Credentials::Bearer { token }, peer).map_err(|error| {
        if error.kind() != ErrorKind::Unauthenticated {
            return Problem::from(error);
        }
        metrics::counter!("sluice_http_logins_refused_total").increment(1);
        Problem::new(refusal(&error, &Shown::InQuery(token)), error.message()).challenge(true)
    })?;
    let most = app.config.max_query_token_life;
    let last = app.broker.now().saturating_add(most.as_millis());
    match session.is_anonymous() || session.expires().is_some_and(|end| end <= last) {
        true => Ok(session),
        false => {
            let detail = format!("a token in a query must end within {most} (http.max_query_token_life)");
            Err(Problem::new(Code::Unauthenticated, detail).challenge(true))
        }
    }
}

/// The token of a query, by the name that OAuth gave it.
pub(crate) fn token_in_query(uri: &Uri) -> Result<Option<String>, Problem> {
    let Some(query) = uri.query().filter(|query| query.contains(ACCESS_TOKEN)) else { return Ok(None) };
    let mut tokens = query.split('&').filter_map(|pair| pair.strip_prefix(ACCESS_TOKEN)?.strip_prefix('='));
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(None),
        (Some(token), None) => {
            let token = percent_decode_str(token).decode_utf8();
            token.map(|token| Some(token.into_owned())).map_err(|_| wrong("the access_token is not UTF-8"))
        }
        (Some(_), Some(_)) => Err(Problem::new(Code::BadRequest, "access_token is given more than once")),
    }
}

/// How a request that was let in has proven who it is; `None` when it had to prove nothing.
pub(crate) fn scheme(call: &Call) -> Result<Option<&'static str>, Problem> {
    if call.session()?.is_anonymous() {
        return Ok(None);
    }
    Ok(match read(&call.headers)? {
        Shown::Basic(..) => Some("basic"),
        Shown::Bearer(_) | Shown::InQuery(_) => Some("bearer"),
        Shown::SigV4(_) => Some("sigv4"),
        Shown::Mq(_) => Some("mq"),
        Shown::Nothing => call.caller.certificate.as_ref().map(|_| "certificate"),
    })
}

/// What a login that failed is called. Whether there is such an access key is told by none of the words.
fn refusal(error: &Error, shown: &Shown<'_>) -> Code {
    match (Reason::of(error), shown) {
        (Reason::Skewed, _) => Code::ClockSkew,
        (Reason::Expired, _) => Code::TokenExpired,
        (Reason::WrongSecret | Reason::UnknownUser, Shown::SigV4(_) | Shown::Mq(_)) => Code::BadSignature,
        _ => Code::Unauthenticated,
    }
}

fn read(headers: &HeaderMap) -> Result<Shown<'_>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Shown::Nothing) };
    if values.next().is_some() {
        return Err(Problem::new(Code::BadRequest, "several Authorization headers; give one"));
    }
    let text = value.to_str().map_err(|_| wrong("the Authorization header is not readable"))?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        basic(rest).ok_or_else(|| wrong("the Basic credentials are not Base64 of user:password"))
    } else if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        Ok(Shown::Bearer(rest))
    } else if scheme == "MQ" {
        mq::Claim::read(rest).map(Shown::Mq)
    } else if let Some(provider) = sigv4::provider(scheme) {
        sigv4::Claim::read(provider, rest, headers).map(Shown::SigV4)
    } else {
        Err(wrong("the Authorization header is neither Basic, Bearer, AWS4-HMAC-SHA256 nor MQ"))
    }
}

fn basic(encoded: &str) -> Option<Shown<'static>> {
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Shown::Basic(user.to_owned(), password.to_owned()))
}

/// The whole body, which the handler can read once more.
async fn read_body(app: &App, body: &mut RequestBody) -> Result<Bytes, Problem> {
    let bytes = body.read(app.config.max_signed_body.bytes(), Code::BodyTooLarge).await?;
    body.put_back(bytes.clone());
    Ok(bytes)
}

/// The value of a header that may be there once; a second one could be what was not signed.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(wrong(&format!("the header {name} is given twice, or not readable"))),
    }
}

/// The host that was asked, as HTTP/1.1 and HTTP/2 say it.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<Option<&'a str>, Problem> {
    Ok(single(headers, HOST.as_str())?.or_else(|| uri.authority().map(|authority| authority.as_str())))
}

fn wrong(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use axum::body::Body;
    use http::Request;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use sluice_auth::Auth;
    use sluice_broker::Broker;
    use sluice_model::SystemClock;
    use sluice_store::MemoryLog;
    use std::sync::Arc;

    #[tokio::test]
    async fn passwords_are_taken_over_tls_alone_where_that_is_said() {
        for (plain_basic, secure, credentials, taken) in [
            (true, false, "Basic YTpi", true),
            (false, true, "Basic YTpi", true),
            (false, false, "Basic YTpi", false),
            (false, false, "Bearer a.b.c", true),
        ] {
            let (log, clock) = (Arc::new(MemoryLog::new()), Arc::new(SystemClock));
            let broker = Broker::open(log, Arc::new(Auth::open()), clock, Default::default()).unwrap();
            let metrics = PrometheusBuilder::new().build_recorder().handle();
            let app = App::new(broker, Config { plain_basic, ..Config::default() }, metrics);
            let request = Request::get("/v1/whoami").header(AUTHORIZATION, credentials).body(()).unwrap();
            let head = request.into_parts().0;
            let caller = Caller { secure, ..Caller::default() };
            let mut body =
                RequestBody::new(Body::empty(), &head.headers, app.clone(), caller.tracker.clone());
            let code = login(&app, &head, &mut body, &caller, false)
                .await
                .map(drop)
                .map_err(|problem| problem.code());
            let wanted = if taken { Ok(()) } else { Err(Code::Forbidden) };
            assert_eq!(code, wanted, "{credentials} {plain_basic} {secure}");
        }
    }
}
