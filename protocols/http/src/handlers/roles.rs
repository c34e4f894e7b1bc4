//! Roles: list, make, change, delete. What a role may do is said by policies about `Role:name`.

use super::users::{QuotaJson, given, refused};
use crate::call::{Call, json_response, no_content};
use crate::errors::{Code, Problem};
use crate::page;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sluice_auth::{Command, RoleSpec, RoleView};
use sluice_model::ErrorKind;

/// A role's settings as JSON; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    #[serde(default, deserialize_with = "given")]
    pub(super) quota: Option<QuotaJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Role {
    name: String,
    quota: QuotaJson,
    from_file: bool,
}

#[derive(Serialize)]
struct Roles {
    items: Vec<Role>,
    next: Option<String>,
}

impl From<RoleView> for Role {
    fn from(view: RoleView) -> Self {
        Self { name: view.name, quota: view.quota.into(), from_file: view.from_file }
    }
}

fn unknown_role(name: &str) -> Problem {
    Problem::new(Code::RoleNotFound, format!("there is no role {name:?}"))
}

/// `GET /v1/roles`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let roles = call.broker().roles(call.session()?)?;
    let (page, next) = page::cut(roles, &call.query, |role| &role.name)?;
    let items = page.into_iter().map(Role::from).collect();
    json_response(StatusCode::OK, &Roles { items, next })
}

/// `GET /v1/roles/{role}`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let name = call.segment(0)?;
    let role = call.broker().roles(call.session()?)?.into_iter().find(|role| role.name == name);
    json_response(StatusCode::OK, &Role::from(role.ok_or_else(|| unknown_role(name))?))
}

/// `PUT /v1/roles/{role}`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let settings: Settings = call.json().await?;
    let (session, name) = (call.session()?, call.segment(0)?);
    let spec = RoleSpec { quota: settings.quota.map(Into::into), ..RoleSpec::named(name) };
    let created = call.broker().put_role(session, spec).await.map_err(refused)?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let found = match call.broker().roles(session) {
        Ok(roles) => roles.into_iter().find(|role| role.name == name),
        // It is done; only the look at it is not allowed.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => None,
        Err(e) => return Err(e.into()),
    };
    match found {
        Some(role) => json_response(status, &Role::from(role)),
        None => json_response(status, &json!({"name": name})),
    }
}

/// `DELETE /v1/roles/{role}`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let (session, name) = (call.session()?, call.segment(0)?);
    if call.dry_run()? {
        let command = Command::DeleteRole(name.to_owned());
        return match call.broker().check_access(session, command).await.map_err(refused)? {
            true => Ok(no_content()),
            false => Err(unknown_role(name)),
        };
    }
    match call.broker().delete_role(session, name).await.map_err(refused)? {
        true => Ok(no_content()),
        false => Err(unknown_role(name)),
    }
}
