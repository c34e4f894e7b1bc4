//! Consumer groups: their settings (201, 352), making and deleting them (200, 225, 207).

use super::json::{DataVersion, write};
use super::{Call, MAX_GROUP, Result, long_group};
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
        "consumeMessageOrderly": group.spec.is_fifo(),
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
    consume_message_orderly: Option<bool>,
    #[serde(default)]
    retry_max_times: Option<i64>,
    /// Everything else that a tool says.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Settings that are the same for every group here, and what may be said of them: what is in force. Anything else is
/// refused, so that nobody relies on what does not happen.
fn fixed_settings() -> [(&'static str, &'static str, Vec<Value>); 9] {
    [
        ("retryQueueNums", "a group has one queue of retries", vec![json!(1)]),
        ("brokerId", "there is one broker, whose number is 0", vec![json!(0)]),
        ("whichBrokerWhenConsumeSlowly", "there is one broker to read from", vec![json!(0), json!(1)]),
        ("notifyConsumerIdsChangedEnable", "members are told when the group changes", vec![json!(true)]),
        ("groupSysFlag", "units are of topics here", vec![json!(0)]),
        ("consumeTimeoutMinute", "a client says itself how long it takes", vec![json!(15)]),
        // It never had a meaning, and a stock tool says false where others say true.
        ("consumeFromMinEnable", "", vec![json!(true), json!(false)]),
        ("attributes", "groups have no attributes here", vec![json!({})]),
        ("subscriptionDataSet", "subscriptions are told by the members", vec![json!([])]),
    ]
}

impl GroupConfig {
    /// Refuses what would be accepted and then ignored.
    fn check(&self) -> Result<()> {
        let said = |name: &str| self.others.get(name).filter(|value| !value.is_null());
        for (name, why, in_force) in fixed_settings() {
            if let Some(value) = said(name).filter(|value| !in_force.contains(value)) {
                return Err(Failure::invalid(format!("{name} cannot be {value}: {why}")));
            }
        }
        // A tool that was told nothing names a type and no delays.
        let delays = |policy: &Value| {
            let told = |name: &str| policy.get(name).is_some_and(|delays| !delays.is_null());
            told("exponentialRetryPolicy") || told("customizedRetryPolicy")
        };
        if said("groupRetryPolicy").is_some_and(delays) {
            let text =
                "groupRetryPolicy cannot be set by this request: a group's retry delays are set over HTTP";
            return Err(Failure::invalid(text));
        }
        Ok(())
    }
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

async fn put_one(call: &Call, config: GroupConfig) -> Result<()> {
    config.check()?;
    let group = GroupName::new(config.group_name)?;
    if group.as_str().len() > MAX_GROUP {
        return Err(long_group(&group));
    }
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
    if let Some(in_order) = config.consume_message_orderly {
        spec = spec.fifo(in_order);
    }
    broker.put_group(session, &group, spec).await?;
    Ok(())
}

/// 207: deletes a group and its progress.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let group = call.group("groupName")?;
    call.node.broker.delete_group(&call.session, &group).await?;
    Ok(Response::success())
}
