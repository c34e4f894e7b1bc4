//! The broker itself: how much came (315), what there is to clean (306, 316), settings (25).

use super::super::{Call, Result, json, stats};
use crate::codes::response::{NO_PERMISSION, SYSTEM_ERROR};
use crate::errors::Failure;
use crate::rates::Sums;
use crate::response::Response;
use serde_json::json;
use sluice_auth::Action;
use sluice_broker::Setting;
use sluice_model::{ErrorKind, GroupName, TopicName};

/// What came to a topic, which the log itself can tell; and what a group got of it, which `rates` has counted.
const TOPIC_PUT_NUMS: &str = "TOPIC_PUT_NUMS";
const GROUP_GET_NUMS: &str = "GROUP_GET_NUMS";
const MINUTE: u64 = 60;
const SPANS: [u64; 3] = [MINUTE, 60 * MINUTE, 24 * 60 * MINUTE];

/// 315: how many messages a topic got, or a group of a topic, in the last minute, hour and day.
pub(super) async fn statistics(call: Call) -> Result<Response> {
    let (name, key) = (call.text("statsName")?, call.text("statsKey")?);
    let sums = match &name[..] {
        TOPIC_PUT_NUMS => came(&call, key).await?,
        GROUP_GET_NUMS => went(&call, key)?,
        _ => None,
    };
    let sums =
        sums.ok_or_else(|| Failure::new(SYSTEM_ERROR, format!("The stats <{name}> <{key}> not exist")))?;
    let [minute, hour, day] = [0, 1, 2].map(|at: usize| {
        let (sum, seconds) = (sums.get(at).copied().unwrap_or(0), SPANS.get(at).copied().unwrap_or(1));
        json!({ "avgpt": 0.0, "sum": sum, "tps": sum as f64 / seconds as f64 })
    });
    let body = json!({ "statsMinute": minute, "statsHour": hour, "statsDay": day });
    Ok(Response::success().body(json::write(&body)?))
}

async fn came(call: &Call, key: &str) -> Result<Option<Sums>> {
    let topic = TopicName::new(key)?;
    let view = match call.node.broker.topic(&call.session, &topic) {
        Ok(view) => view,
        Err(error) if error.kind() == ErrorKind::TopicNotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let now = call.node.broker.now();
    let mut sums = Sums::default();
    for (sum, seconds) in sums.iter_mut().zip(SPANS) {
        *sum = stats::since(call, &view, now.saturating_sub(seconds * 1000)).await?;
    }
    Ok(Some(sums))
}

/// `topic@group`.
fn went(call: &Call, key: &str) -> Result<Option<Sums>> {
    let (topic, group) =
        key.split_once('@').ok_or_else(|| Failure::invalid("the key is a topic, an @ and a group"))?;
    let (topic, group) = (TopicName::new(topic)?, GroupName::new(group)?);
    match call.node.broker.group(&call.session, &group) {
        Ok(_) => Ok(call.node.rates.look(&group, &topic, call.node.broker.now())),
        Err(error) if error.kind() == ErrorKind::GroupNotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// 306, 316: an index belongs to its segment, and a deleted topic's is gone with it. So nothing is ever left behind,
/// and what is asked for is the case already.
pub(super) fn clean(call: &Call) -> Result<Response> {
    call.node.broker.permit_cluster(&call.session, Action::Update)?;
    let remark = Some("there is nothing to clean: indexes go with their segments and topics".into());
    Ok(Response { remark, ..Response::success() })
}

/// Settings that people change at stock brokers and that cannot change here while the broker runs, and where they are.
const ELSEWHERE: [(&str, &str); 8] = [
    ("brokerName", "remoting.broker_name"),
    ("brokerClusterName", "remoting.cluster"),
    ("listenPort", "listen.remoting"),
    ("maxMessageSize", "broker.max_message_size"),
    ("messageDelayLevel", "remoting.delay_levels"),
    ("flushDiskType", "store.durability"),
    ("diskMaxUsedSpaceRatio", "store.disk_guard"),
    ("storePathRootDir", "data_dir"),
];
const HOUR: u64 = 3_600_000;

/// 25: changes settings, all or none. They hold at once, and after a restart too.
pub(super) async fn change_settings(call: Call) -> Result<Response> {
    let body = String::from_utf8_lossy(&call.frame.body);
    let lines = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let mut settings = Vec::new();
    for line in lines {
        let (name, value) =
            line.split_once('=').ok_or_else(|| Failure::invalid(format!("{line:?} is no name=value")))?;
        settings.push(setting(name.trim(), value.trim())?);
    }
    if settings.is_empty() {
        return Err(Failure::invalid("no setting is named"));
    }
    call.node.broker.tune(&call.session, &settings).await?;
    Ok(Response::success())
}

/// A setting of stock brokers as the broker's own.
fn setting(name: &str, value: &str) -> Result<Setting> {
    let number = || -> Result<u64> {
        value.parse().map_err(|_| Failure::invalid(format!("{name} cannot be {value:?}: it is a number")))
    };
    let count = || -> Result<u32> {
        u32::try_from(number()?).map_err(|_| Failure::invalid(format!("{name} cannot be {value}")))
    };
    Ok(match name {
        "autoCreateTopicEnable" => Setting::AutoCreate(value.parse().map_err(|_| {
            Failure::invalid(format!("autoCreateTopicEnable cannot be {value:?}: it is true or false"))
        })?),
        "defaultTopicQueueNums" => Setting::DefaultQueues(count()?),
        "fileReservedTime" => Setting::Retention(number()?.saturating_mul(HOUR)),
        "transactionTimeOut" => Setting::FirstCheck(number()?),
        "transactionCheckInterval" => Setting::CheckInterval(number()?),
        "transactionCheckMax" => Setting::MaxChecks(count()?),
        _ => return Err(not_while_running(name)),
    })
}

fn not_while_running(name: &str) -> Failure {
    let text = match ELSEWHERE.iter().find(|(theirs, _)| *theirs == name) {
        Some((_, ours)) => {
            format!(
                "{name} is not changed while running: it is {ours} in the configuration file, and wants a restart"
            )
        }
        None => format!(
            "there is no setting {name} here that could be changed; getBrokerConfig shows what there is"
        ),
    };
    Failure::new(NO_PERMISSION, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_theirs_by_name_and_ours_by_value() {
        assert_eq!(setting("fileReservedTime", "72").unwrap(), Setting::Retention(72 * HOUR));
        assert_eq!(setting("autoCreateTopicEnable", "false").unwrap(), Setting::AutoCreate(false));
        for (name, value, text) in [
            ("fileReservedTime", "long", "is a number"),
            ("defaultTopicQueueNums", "99999999999", "cannot be"),
            ("autoCreateTopicEnable", "maybe", "true or false"),
            ("maxMessageSize", "1", "broker.max_message_size"),
            ("haListenPort", "1", "there is no setting haListenPort"),
        ] {
            let failure = setting(name, value).unwrap_err();
            assert!(failure.text.contains(text), "{}", failure.text);
        }
    }
}
