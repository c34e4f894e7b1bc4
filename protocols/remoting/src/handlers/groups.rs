//! Consumer groups: their settings (201, 352), making and deleting them (200, 225, 207).

use super::json::{DataVersion, write};
use super::{Call, Result};
use crate::errors::Failure;
use crate::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_broker::{GroupSpec, GroupView};
use sluice_model::{ErrorKind, GroupName};

/// Groups in one request: each is a write to the log.
const MAX_LIST: usize = 1000;

/// 201: all groups with their settings.
pub(super) fn all(call: &Call) -> Result<Response> {
    let groups = call.node.broker.groups(&call.session, None, usize::MAX)?;
    let table: Map<String, Value> = groups.iter().map(|g| (g.name.to_string(), settings(call, g))).collect();
    let body = json!({
        "dataVersion": DataVersion { counter: groups.len() as u64, state_version: 0, timestamp: call.node.started },
        "forbiddenTable": {},
        "subscriptionGroupTable": table,
    });
    Ok(Response::success().field("totalGroupNum", groups.len()).body(write(&body)?))
}

/// 352: one group's settings.
pub(super) fn one(call: &Call) -> Result<Response> {
    let view = call.node.broker.group(&call.session, &call.group("group")?)?;
    Ok(Response::success().body(write(&settings(call, &view))?))
}

fn settings(call: &Call, group: &GroupView) -> Value {
    let attempts = group.spec.max_attempts.unwrap_or(call.node.broker.config().max_attempts);
    json!({
        "attributes": {},
        "brokerId": 0,
        "consumeBroadcastEnable": group.spec.broadcast,
        "consumeEnable": group.spec.enabled,
        "consumeFromMinEnable": true,
        "consumeMessageOrderly": false,
        "consumeTimeoutMinute": 15,
        "groupName": group.name.as_str(),
        "groupRetryPolicy": { "type": "CUSTOMIZED" },
        "groupSysFlag": 0,
        "notifyConsumerIdsChangedEnable": true,
        "retryMaxTimes": attempts,
        "retryQueueNums": 1,
        "whichBrokerWhenConsumeSlowly": 1,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupConfig {
    group_name: String,
    #[serde(default)]
    consume_enable: Option<bool>,
    #[serde(default)]
    consume_broadcast_enable: Option<bool>,
    #[serde(default)]
    retry_max_times: Option<i64>,
}

/// 200: makes a group or changes one.
pub(super) async fn put(call: Call) -> Result<Response> {
    put_one(&call, call.body()?).await?;
    Ok(Response::success())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupConfigs {
    group_config_list: Vec<GroupConfig>,
}

/// 225: the same for several, one after the other, until one is refused.
pub(super) async fn put_list(call: Call) -> Result<Response> {
    let configs: GroupConfigs = call.body()?;
    if configs.group_config_list.len() > MAX_LIST {
        return Err(Failure::invalid(format!("at most {MAX_LIST} groups in one request")));
    }
    for config in configs.group_config_list {
        put_one(&call, config).await?;
    }
    Ok(Response::success())
}

/// Settings that the model does not have keep the value that 352 shows.
async fn put_one(call: &Call, config: GroupConfig) -> Result<()> {
    let group = GroupName::new(config.group_name)?;
    let (broker, session) = (&call.node.broker, &call.session);
    let mut spec = match broker.group(session, &group) {
        Ok(view) => view.spec,
        Err(error) if error.kind() == ErrorKind::GroupNotFound => GroupSpec::default(),
        Err(error) => return Err(error.into()),
    };
    if let Some(retries) = config.retry_max_times {
        let retries =
            u32::try_from(retries).map_err(|_| Failure::invalid("retryMaxTimes cannot be negative"))?;
        spec.max_attempts = Some(retries);
    }
    spec.enabled = config.consume_enable.unwrap_or(spec.enabled);
    spec.broadcast = config.consume_broadcast_enable.unwrap_or(spec.broadcast);
    broker.put_group(session, &group, spec).await?;
    Ok(())
}

/// 207: deletes a group and its progress.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let group = call.group("groupName")?;
    call.node.broker.delete_group(&call.session, &group).await?;
    Ok(Response::success())
}
