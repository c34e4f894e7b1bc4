//! API tokens, signing secrets and the password of a user: made, replaced, taken away. What is made here is shown once, in the answer.

use super::users::{Token, given, refused, unknown_user};
use crate::call::{Call, json_response, no_content};
use crate::convert::Time;
use crate::errors::{Code, Problem};
use crate::page;
use crate::params::format_time;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_auth::{Command, NewToken, Secret, Session, WhichSecret, random_password};
use sluice_model::units::Span;
use sluice_model::{Error, ErrorKind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct New {
    label: String,
    #[serde(default, deserialize_with = "given")]
    expires_in: Option<Span>,
    #[serde(default, deserialize_with = "given")]
    expires_at: Option<Time>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    id: String,
    label: String,
    expires_at: Option<String>,
    /// Nobody can ask for it again.
    token: String,
}

#[derive(Serialize)]
struct Tokens {
    items: Vec<Token>,
    next: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default, deserialize_with = "given")]
    secret: Option<Secret>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    name: String,
    /// When it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// What a refused change of this user's is.
async fn refused_of(call: &Call, user: &str, error: Error) -> Problem {
    if error.kind() == ErrorKind::InvalidArgument
        && let Ok(session) = call.session()
        && let Ok(None) = call.broker().user(session, user).await
    {
        return unknown_user(user);
    }
    refused(error)
}

/// `GET /v1/users/{user}/tokens`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let name = call.segment(0)?;
    let user = call.broker().user(call.session()?, name).await?.ok_or_else(|| unknown_user(name))?;
    let mut tokens = user.tokens;
    tokens.sort_by(|a, b| a.id.cmp(&b.id));
    let (page, next) = page::cut(tokens, &call.query, |token| &token.id)?;
    let items = page.into_iter().map(Token::from).collect();
    json_response(StatusCode::OK, &Tokens { items, next })
}

/// `POST /v1/users/{user}/tokens`
pub(crate) async fn create(mut call: Call) -> Result<Response, Problem> {
    let new: New = call.json().await?;
    let now = call.broker().now();
    let expires = match (new.expires_in, new.expires_at) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(Code::InvalidJson, "give expiresIn or expiresAt, not both"));
        }
        (Some(span), None) => Some(now.saturating_add(span.as_millis())),
        (None, at) => at.map(|Time(at)| at),
    };
    if expires.is_some_and(|expires| expires <= now) {
        return Err(Problem::new(Code::SemanticError, "a token ends after it was made"));
    }
    let (session, name) = (call.session()?, call.segment(0)?);
    match call.broker().create_token(session, name, &new.label, expires).await {
        Ok(token) => {
            let expires_at = expires.map(format_time);
            let made = Made { id: NewToken::id_of(&token), label: new.label, expires_at, token };
            json_response(StatusCode::CREATED, &made)
        }
        Err(error) => Err(refused_of(&call, name, error).await),
    }
}

/// `DELETE /v1/users/{user}/tokens/{id}`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let (session, user, id) = (call.session()?, call.segment(0)?, call.segment(1)?);
    let command = Command::DeleteToken { user: user.to_owned(), id: id.to_owned() };
    match take_away(&call, session, command, call.dry_run()?).await {
        Ok(()) => Ok(no_content()),
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {
            Err(match refused_of(&call, user, error).await {
                problem if problem.code() == Code::UserNotFound => problem,
                problem => Problem::new(Code::TokenNotFound, problem.detail()),
            })
        }
        Err(error) => Err(refused(error)),
    }
}

/// `POST /v1/users/{user}/secret:rotate`: the secret it had is accepted too until it is deleted.
pub(crate) async fn rotate(mut call: Call) -> Result<Response, Problem> {
    let rotation: Rotation = if call.has_body() {
        call.json().await.map_err(super::users::without_values)?
    } else {
        Rotation::default()
    };
    let made = rotation.secret.is_none().then(random_password);
    let Some(secret) = rotation.secret.or_else(|| made.as_deref().map(Secret::new)) else {
        return Err(Problem::new(Code::Internal, "there is no secret"));
    };
    let (session, name) = (call.session()?, call.segment(0)?);
    let command = Command::RotateSecret { user: name.to_owned(), secret };
    match call.broker().change_access(session, command).await {
        Ok(()) => json_response(StatusCode::OK, &Rotated { name: name.to_owned(), secret: made }),
        Err(error) => Err(refused_of(&call, name, error).await),
    }
}

/// `DELETE /v1/users/{user}/secret`
pub(crate) async fn delete_secret(call: Call) -> Result<Response, Problem> {
    let which = match call.query.get("which")? {
        None | Some("previous") => WhichSecret::Previous,
        Some("current") => WhichSecret::Current,
        Some(_) => return Err(Problem::new(Code::InvalidParameter, "which is previous or current")),
    };
    remove(&call, which).await
}

/// `DELETE /v1/users/{user}/password`
pub(crate) async fn delete_password(call: Call) -> Result<Response, Problem> {
    remove(&call, WhichSecret::Password).await
}

/// Takes something away from a user, or only says whether that could be done.
async fn take_away(call: &Call, session: &Session, command: Command, dry_run: bool) -> Result<(), Error> {
    match dry_run {
        true => call.broker().check_access(session, command).await.map(drop),
        false => call.broker().change_access(session, command).await,
    }
}

async fn remove(call: &Call, which: WhichSecret) -> Result<Response, Problem> {
    let dry_run = call.dry_run()?;
    let (session, name) = (call.session()?, call.segment(0)?);
    let command = Command::RemoveSecret { user: name.to_owned(), which };
    match take_away(call, session, command, dry_run).await {
        Ok(()) => Ok(no_content()),
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {
            Err(match refused_of(call, name, error).await {
                problem if problem.code() == Code::UserNotFound => problem,
                problem => Problem::new(Code::NotFound, problem.detail()),
            })
        }
        Err(error) => Err(refused_of(call, name, error).await),
    }
}
