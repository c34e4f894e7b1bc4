//! Users: list, read, make, change, delete. A secret is taken and never shown.

use crate::call::{Call, json_response, no_content};
use crate::errors::{Code, Problem};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::params::format_time;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use sluice_auth::{AccessKey, ApiTokenView, Command, Quota, Secret, UserSpec, UserView};
use sluice_model::units::ByteSize;
use sluice_model::{Error, ErrorKind};

/// A user's settings as JSON; what is left out stays as it is, for nobody could read a secret to send it again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    #[serde(default, deserialize_with = "given")]
    superuser: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    password: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    password_hash: Option<String>,
    #[serde(default, deserialize_with = "given")]
    secret: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    access_keys: Option<Vec<AccessKey>>,
    #[serde(default, deserialize_with = "given")]
    roles: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) quota: Option<QuotaJson>,
}

/// Limits as JSON, both ways; what is left out is not limited.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct QuotaJson {
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<ByteSize>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    messages_per_second: Option<u64>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    connections: Option<u32>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    in_flight: Option<u32>,
}

impl QuotaJson {
    /// A limit of nothing would stop everything.
    pub(super) fn has_zero(&self) -> bool {
        let Self { bytes_per_second, messages_per_second, connections, in_flight } = self;
        bytes_per_second.is_some_and(|size| size.0 == 0)
            || *messages_per_second == Some(0)
            || *connections == Some(0)
            || *in_flight == Some(0)
    }
}

/// Refuses `null`, which could be meant to take something away.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    name: String,
    superuser: bool,
    enabled: bool,
    has_password: bool,
    access_keys: Vec<String>,
    has_previous_secret: bool,
    tokens: Vec<Token>,
    roles: Vec<String>,
    quota: QuotaJson,
    from_file: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Token {
    id: String,
    label: String,
    created_at: String,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Users {
    items: Vec<User>,
    next: Option<String>,
}

impl Settings {
    pub(super) fn spec(self, name: &str) -> UserSpec {
        UserSpec {
            superuser: self.superuser,
            enabled: self.enabled,
            password: self.password,
            password_hash: self.password_hash,
            secret: self.secret,
            access_keys: self.access_keys,
            roles: self.roles,
            quota: self.quota.map(Into::into),
            ..UserSpec::named(name)
        }
    }
}

impl From<UserView> for User {
    fn from(view: UserView) -> Self {
        Self {
            name: view.name,
            superuser: view.superuser,
            enabled: view.enabled,
            has_password: view.has_password,
            access_keys: view.access_keys,
            has_previous_secret: view.has_previous_secret,
            tokens: view.tokens.into_iter().map(Token::from).collect(),
            roles: view.roles,
            quota: view.quota.into(),
            from_file: view.from_file,
        }
    }
}

impl From<Quota> for QuotaJson {
    fn from(quota: Quota) -> Self {
        let Quota { bytes_per_second, messages_per_second, connections, in_flight } = quota;
        Self { bytes_per_second, messages_per_second, connections, in_flight }
    }
}

impl From<QuotaJson> for Quota {
    fn from(json: QuotaJson) -> Self {
        let QuotaJson { bytes_per_second, messages_per_second, connections, in_flight } = json;
        Self { bytes_per_second, messages_per_second, connections, in_flight }
    }
}

impl From<ApiTokenView> for Token {
    fn from(view: ApiTokenView) -> Self {
        Self {
            id: view.id,
            label: view.label,
            created_at: format_time(view.created),
            expires_at: view.expires.map(format_time),
        }
    }
}

/// What a refused change of users, roles or policies is.
pub(super) fn refused(error: Error) -> Problem {
    match error.kind() {
        // No message is too large: there are too many of something.
        ErrorKind::TooLarge => Problem::new(Code::SemanticError, error.message()),
        _ => error.into(),
    }
}

/// A JSON fault without the value that was found: it may be a secret in the wrong place.
pub(super) fn without_values(problem: Problem) -> Problem {
    match problem.detail().rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => {
            let detail = format!("not of the right type, expected {expected}");
            problem.reworded(detail)
        }
        _ => problem,
    }
}

pub(super) fn unknown_user(name: &str) -> Problem {
    Problem::new(Code::UserNotFound, format!("there is no user {name:?}"))
}

/// `GET /v1/users`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let after = call.query.get("cursor")?.map(str::to_owned);
    let mut users = call.broker().users(call.session()?, after, limit + 1).await?;
    let more = users.len() > limit;
    users.truncate(limit);
    let items: Vec<User> = users.into_iter().map(User::from).collect();
    let next = items.last().filter(|_| more).map(|user| user.name.clone());
    json_response(StatusCode::OK, &Users { items, next })
}

/// `GET /v1/users/{user}`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let name = call.segment(0)?;
    let user = call.broker().user(call.session()?, name).await?;
    json_response(StatusCode::OK, &User::from(user.ok_or_else(|| unknown_user(name))?))
}

/// `PUT /v1/users/{user}`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let settings: Settings = call.json().await.map_err(without_values)?;
    let (session, name) = (call.session()?, call.segment(0)?);
    let created = call.broker().put_user(session, settings.spec(name)).await.map_err(refused)?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    match call.broker().user(session, name).await {
        Ok(Some(view)) => json_response(status, &User::from(view)),
        // It is done; only the look at it is not allowed, or someone has removed it since.
        Ok(None) => json_response(status, &json!({"name": name})),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => json_response(status, &json!({"name": name})),
        Err(e) => Err(e.into()),
    }
}

/// `DELETE /v1/users/{user}`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let (session, name) = (call.session()?, call.segment(0)?);
    if call.dry_run()? {
        let command = Command::DeleteUser(name.to_owned());
        return match call.broker().check_access(session, command).await.map_err(refused)? {
            true => Ok(no_content()),
            false => Err(unknown_user(name)),
        };
    }
    match call.broker().delete_user(session, name).await.map_err(refused)? {
        true => Ok(no_content()),
        false => Err(unknown_user(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> String {
        let problem = crate::json::decode::<Settings>(body.as_bytes(), 8).map(drop).unwrap_err();
        serde_json::Value::Object(without_values(problem).document(None, None)).to_string()
    }

    #[test]
    fn a_fault_names_the_place_and_not_the_value() {
        for (body, place, says) in [
            (r#"{"accessKeys":["hunter2"]}"#, "/accessKeys/0", "expected struct AccessKey"),
            (r#"{"accessKeys":"hunter2, expected x"}"#, "/accessKeys", "expected a sequence"),
            (r#"{"accessKeys":[{"key":"k","secret":{"hunter2":1}}]}"#, "/accessKeys/0/secret", "a string"),
            (r#"{"superuser":"hunter2"}"#, "/superuser", "expected a boolean"),
            (r#"{"password":null}"#, "/password", "expected a string"),
            (r#"{"pasword":"hunter2"}"#, "/pasword", "unknown field `pasword`"),
            (r#"{"password":"hunter2"#, "", "EOF"),
        ] {
            let fault = fault(body);
            assert!(!fault.contains("hunter2"), "{fault}");
            assert!(fault.contains(place) && fault.contains(says), "{fault} lacks {place} or {says}");
        }
    }
}
