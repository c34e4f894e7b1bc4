//! Quotas of consumer groups. Those of users and roles stand with them.

use super::users::{QuotaJson, refused};
use crate::call::{Call, json_response, no_content};
use crate::errors::{Code, Problem};
use crate::page;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use sluice_auth::{Command, GroupQuota, GroupQuotaSpec, Quota};
use sluice_model::GroupName;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    group: String,
    quota: QuotaJson,
    from_file: bool,
}

#[derive(Serialize)]
struct Items {
    items: Vec<Item>,
    next: Option<String>,
}

impl From<GroupQuota> for Item {
    fn from(group: GroupQuota) -> Self {
        Self { group: group.group, quota: group.quota.into(), from_file: group.from_file }
    }
}

/// `GET /v1/quotas`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let quotas = call.broker().group_quotas(call.session()?)?;
    let (page, next) = page::cut(quotas, &call.query, |own| &own.group)?;
    let items = page.into_iter().map(Item::from).collect();
    json_response(StatusCode::OK, &Items { items, next })
}

/// `PUT /v1/groups/{group}/quota`: the whole quota, what is left out is not limited.
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let quota: QuotaJson = call.json().await?;
    let (group, quota) = (call.group()?, Quota::from(quota));
    set(&call, &group, quota).await?;
    let item = Item { group: group.to_string(), quota: quota.into(), from_file: false };
    json_response(StatusCode::OK, &item)
}

/// `DELETE /v1/groups/{group}/quota`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    if call.dry_run()? {
        let spec = GroupQuotaSpec { group: group.to_string(), quota: Quota::default() };
        let command = Command::PutGroupQuota(spec);
        call.broker().check_access(call.session()?, command).await.map_err(refused)?;
        return Ok(no_content());
    }
    set(&call, &group, Quota::default()).await.map(|()| no_content())
}

async fn set(call: &Call, group: &GroupName, quota: Quota) -> Result<(), Problem> {
    let spec = GroupQuotaSpec { group: group.to_string(), quota };
    call.broker().change_access(call.session()?, Command::PutGroupQuota(spec)).await.map_err(refused)
}

/// `GET /v1/groups/{group}/quota`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let quotas = call.broker().group_quotas(call.session()?)?;
    match quotas.into_iter().find(|own| own.group == group.as_str()) {
        Some(own) => json_response(StatusCode::OK, &Item::from(own)),
        None => Err(Problem::new(Code::QuotaNotFound, format!("the group {group} has no quota"))),
    }
}
