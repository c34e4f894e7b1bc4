//! The cluster of one: who the broker is (106), how it is (28), and its settings (26).

use super::{Call, Result};
use crate::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// 106: every broker by name, and the names of every cluster.
pub(super) fn info(call: &Call) -> Result<Response> {
    let broker = &call.node.marks.broker;
    let mut brokers = Map::new();
    brokers.insert(broker.name.to_string(), super::route::broker_data(call));
    let mut clusters = Map::new();
    clusters.insert(broker.cluster.to_string(), json!([&broker.name[..]]));
    let body = json!({ "brokerAddrTable": brokers, "clusterAddrTable": clusters });
    Ok(Response::success().body(super::json::write(&body)?))
}

/// The most queues whose messages are counted for 28: more would make every look at the broker a long one.
const MAX_COUNTED_QUEUES: usize = 4096;
const DAY: u64 = 24 * 3600 * 1000;

/// 28: what is known of the broker's state. How much came is looked up in the log, how much went out is counted by
/// `node`, both in the clock's days. Nothing waits in thread pools here, so their queues are empty. What stock brokers
/// measure besides and this one does not is left out; tools show a blank for it.
pub(super) async fn runtime(call: Call) -> Result<Response> {
    let (broker, now) = (&call.node.broker, call.node.broker.now());
    let today = now - now % DAY;
    let starts = [
        now.saturating_sub(10_000),
        now.saturating_sub(60_000),
        now.saturating_sub(600_000),
        today,
        today.saturating_sub(DAY),
    ];
    let [last_10s, last_minute, last_10min, since_midnight, since_yesterday] =
        put_since(&call, starts).await?;
    let total: u64 =
        broker.topics(&call.session, None, usize::MAX)?.iter().flat_map(|t| &t.bounds).map(|b| b.1).sum();
    let got = call.node.got.look(now);
    let version = format!("sluice {}", env!("CARGO_PKG_VERSION"));
    let rates = |counts: [u64; 3]| {
        let [a, b, c] = counts.map(|n| n as f64);
        format!("{:.2} {:.2} {:.2}", a / 10.0, b / 60.0, c / 600.0)
    };
    let get_rates = rates(got.last);
    let table = json!({
        "bootTimestamp": call.node.started.to_string(),
        "runtime": uptime(now.saturating_sub(call.node.started)),
        "brokerVersionDesc": version,
        "brokerActive": broker.is_ready().to_string(),
        "putTps": rates([last_10s, last_minute, last_10min]),
        "getFoundTps": &get_rates,
        "getTotalTps": &get_rates,
        "getTransferedTps": &get_rates,
        "getTransferredTps": &get_rates,
        "putMessageTimesTotal": total.to_string(),
        "msgPutTotalTodayNow": total.to_string(),
        "msgPutTotalTodayMorning": total.saturating_sub(since_midnight).to_string(),
        "msgPutTotalYesterdayMorning": total.saturating_sub(since_yesterday).to_string(),
        "msgGetTotalTodayNow": got.total.to_string(),
        "msgGetTotalTodayMorning": got.before_today.to_string(),
        "msgGetTotalYesterdayMorning": got.before_yesterday.to_string(),
        "sendThreadPoolQueueSize": "0",
        "sendThreadPoolQueueHeadWaitTimeMills": "0",
        "pullThreadPoolQueueSize": "0",
        "pullThreadPoolQueueHeadWaitTimeMills": "0",
        "ackThreadPoolQueueSize": "0",
        "ackThreadPoolQueueHeadWaitTimeMills": "0",
        "pageCacheLockTimeMills": "0",
    });
    Ok(Response::success().body(super::json::write(&json!({ "table": table }))?))
}

/// How many messages were stored since each of these times; zeros where there are too many queues to look.
async fn put_since<const N: usize>(call: &Call, times: [u64; N]) -> Result<[u64; N]> {
    let topics = call.node.broker.topics(&call.session, None, usize::MAX)?;
    let mut counts = [0; N];
    if topics.iter().map(|t| t.bounds.len()).sum::<usize>() > MAX_COUNTED_QUEUES {
        return Ok(counts);
    }
    for topic in &topics {
        for (count, time) in counts.iter_mut().zip(times) {
            // One that may be seen and not read, or is gone meanwhile, does not spoil the others.
            *count += super::stats::since(call, topic, time).await.unwrap_or(0);
        }
    }
    Ok(counts)
}

fn uptime(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

/// 26: the settings that tools look for, as Java properties.
pub(super) fn settings(call: &Call) -> Result<Response> {
    let (config, broker, tuned) = (&call.node.config, call.node.broker.config(), call.node.broker.tuned());
    let levels: Vec<String> = config.delay_levels.iter().map(ToString::to_string).collect();
    let settings: [(&str, Value); 17] = [
        ("brokerName", config.broker_name.clone().into()),
        ("brokerClusterName", config.cluster.clone().into()),
        ("brokerId", 0.into()),
        ("autoCreateTopicEnable", tuned.auto_create.into()),
        ("defaultTopicQueueNums", tuned.default_queues.into()),
        ("maxMessageSize", broker.max_message_size.0.into()),
        ("autoCreateSubscriptionGroup", true.into()),
        ("brokerPermission", 6.into()),
        ("brokerRole", "SYNC_MASTER".into()),
        ("fileReservedTime", (tuned.retention.as_millis() / 3_600_000).into()),
        ("transactionTimeOut", tuned.first_check.as_millis().into()),
        ("transactionCheckInterval", tuned.check_interval.as_millis().into()),
        ("transactionCheckMax", tuned.max_checks.into()),
        ("traceOn", true.into()),
        ("traceTopicEnable", false.into()),
        ("enablePropertyFilter", true.into()),
        ("messageDelayLevel", levels.join(" ").into()),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{name}={value}\n"));
    }
    let version = json!({ "counter": 1, "stateVersion": 0, "timestamp": call.node.started });
    Ok(Response::success().field("version", version.to_string()).body(Bytes::from(text)))
}
