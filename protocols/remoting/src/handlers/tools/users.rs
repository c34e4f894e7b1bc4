//! Users by ACL 2.0's codes: making, changing, deleting, looking (3001 to 3005).
//!
//! The one idea to know: a password is taken and never shown. It becomes the secret that the user's clients sign with,
//! which is good as a password on every other wire too.

use super::super::{Call, Result, json};
use super::refused;
use crate::codes::response::{INVALID_PARAMETER, NO_PERMISSION};
use crate::errors::Failure;
use crate::response::Response;
use serde::{Deserialize, Serialize};
use sluice_auth::{Command, Secret, UserSpec, UserView, WhichSecret};

/// A user as tools write one; what is left out stays as it is.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct UserInfo {
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    user_type: Option<String>,
    #[serde(default)]
    user_status: Option<String>,
}

/// A user as tools are shown one: without the password, which they print as `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    username: &'a str,
    user_type: &'static str,
    user_status: &'static str,
}

impl<'a> From<&'a UserView> for Shown<'a> {
    fn from(user: &'a UserView) -> Self {
        Self {
            username: &user.name,
            user_type: if user.superuser { "Super" } else { "Normal" },
            user_status: if user.enabled { "enable" } else { "disable" },
        }
    }
}

impl UserInfo {
    fn read(call: &Call) -> Result<Self> {
        if call.frame.body.is_empty() {
            return Ok(Self::default());
        }
        // The fault would show the value that was found, and that may be a password.
        serde_json::from_slice(&call.frame.body).map_err(|e| {
            Failure::invalid(format!("the body is no user: line {}, column {}", e.line(), e.column()))
        })
    }

    fn spec(self, name: &str) -> Result<UserSpec> {
        let word =
            |text: &Option<String>, what: &str, yes: &str, no: &str| match text.as_deref().map(str::trim) {
                None | Some("") => Ok(None),
                Some(text) if text.eq_ignore_ascii_case(yes) => Ok(Some(true)),
                Some(text) if text.eq_ignore_ascii_case(no) => Ok(Some(false)),
                Some(text) => Err(Failure::invalid(format!("{text:?} is no {what}; it is {yes} or {no}"))),
            };
        Ok(UserSpec {
            superuser: word(&self.user_type, "userType", "Super", "Normal")?,
            enabled: word(&self.user_status, "userStatus", "enable", "disable")?,
            // A tool that means "as it was" sends an empty one.
            secret: self.password.filter(|password| *password != Secret::from("")),
            ..UserSpec::named(name)
        })
    }
}

/// 3001: makes a user.
pub(super) async fn create(call: Call) -> Result<Response> {
    let (name, info) = (username(&call)?, UserInfo::read(&call)?);
    let spec = info.spec(name)?;
    if find(&call, name).await?.is_some() {
        return Err(Failure::new(
            NO_PERMISSION,
            format!("User:{name} exists already; change it with updateUser"),
        ));
    }
    if spec.secret.is_none() {
        let text = format!(
            "User:{name} needs a password. This broker shows nobody's, so a user copied from it has none: \
             make it with createUser"
        );
        return Err(Failure::new(NO_PERMISSION, text));
    }
    call.node.broker.put_user(&call.session, spec).await.map_err(refused)?;
    Ok(Response::success())
}

/// 3002: changes a user. A new password is the only one from then on.
pub(super) async fn update(call: Call) -> Result<Response> {
    let (name, info) = (username(&call)?, UserInfo::read(&call)?);
    let mut spec = info.spec(name)?;
    let Some(known) = find(&call, name).await? else { return Err(no_user(name)) };
    let (broker, session) = (&call.node.broker, &call.session);
    if known.has_password {
        spec.password.clone_from(&spec.secret);
    }
    let ends_rotation = spec.secret.is_some() && known.has_previous_secret;
    broker.put_user(session, spec).await.map_err(refused)?;
    if ends_rotation {
        let command = Command::RemoveSecret { user: name.to_owned(), which: WhichSecret::Previous };
        broker.change_access(session, command).await.map_err(refused)?;
    }
    Ok(Response::success())
}

/// 3003: deletes a user and the policies about it. One that is not there is deleted, as on stock brokers.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let name = username(&call)?;
    call.node.broker.delete_user(&call.session, name).await.map_err(refused)?;
    Ok(Response::success())
}

/// 3004: one user; no body when there is none.
pub(super) async fn get(call: Call) -> Result<Response> {
    let name = username(&call)?;
    match find(&call, name).await? {
        Some(user) => Ok(Response::success().body(json::write(&Shown::from(&user))?)),
        None => Ok(Response::success()),
    }
}

/// 3005: the users whose names contain the filter.
pub(super) async fn list(call: Call) -> Result<Response> {
    let filter = call.frame.ext.get("filter").map(|f| &f[..]).unwrap_or_default();
    let users = call.node.broker.users(&call.session, None, usize::MAX).await?;
    let shown: Vec<Shown<'_>> = users.iter().filter(|u| u.name.contains(filter)).map(Shown::from).collect();
    Ok(Response::success().body(json::write(&shown)?))
}

fn username(call: &Call) -> Result<&str> {
    match call.frame.ext.get("username").map(|name| name.trim()) {
        None | Some("") => Err(Failure::new(INVALID_PARAMETER, "The username is blank")),
        Some(name) => Ok(name),
    }
}

pub(super) async fn find(call: &Call, name: &str) -> Result<Option<UserView>> {
    Ok(call.node.broker.user(&call.session, name).await?)
}

pub(super) fn no_user(name: &str) -> Failure {
    Failure::new(NO_PERMISSION, format!("there is no User:{name}"))
}
