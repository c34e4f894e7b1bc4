//! Half messages: prepared by a publish, ended by handle, offered again while nobody ends them.
//!
//! A publish does not say whose it is: the group is named only by those who end and ask. The one idea to know: halves
//! of this wire belong to a producer group that stands for their topic, and whoever may publish to the topic may ask for
//! them. Those who ask get what their own group has prepared by other wires as well.

use super::acknowledge::not_settled;
use super::call::Call;
use super::consume::{Shown, first_delivery, messages};
use super::faults::{Fault, Unsettled};
use super::handles;
use super::publish::{first, refused};
use axum::response::Response;
use sluice_broker::{EndTransaction, PrepareRequest, SendRequest, Sent, TransactionCheck};
use sluice_model::{Error, GroupName, TopicName};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many seconds until an outcome is first asked for: the cloud's range.
pub(super) const FIRST_CHECK: RangeInclusive<u64> = 10..=300;
/// Before the topic's name: the producer group of its halves. A group name has room for it and any topic.
const OWNER: &str = "MQHTTP%";

fn owner(topic: &TopicName) -> Result<GroupName, Fault> {
    Ok(GroupName::new(format!("{OWNER}{topic}"))?)
}

/// Stores a half message; its transaction is called by the locator that this gives.
pub(super) async fn prepare(call: &Call, send: SendRequest, first_check: Duration) -> Result<Sent, Fault> {
    let request = PrepareRequest { send, group: owner(&call.topic)?, first_check: Some(first_check) };
    let promise = call.broker().prepare(&call.session, request).map_err(refused)?;
    first(promise.await?)
}

pub(super) async fn end_all(
    call: &Call,
    handles: Vec<String>,
    commit: bool,
) -> Result<Vec<Unsettled>, Fault> {
    let mut failed = Vec::new();
    for handle in handles {
        let ended = match handles::transaction(&handle, &call.topic) {
            Some(transaction) => {
                let end = EndTransaction { transaction, commit, group: None, offset: None };
                call.broker().end_transaction(&call.session, end).await
            }
            None => Err(Error::invalid("it is none of a half message of this topic")),
        };
        if let Err(error) = ended {
            failed.push(not_settled(handle, error)?);
        }
    }
    Ok(failed)
}

/// `trans=pop`: halves whose outcome is to be told.
pub(super) async fn checks(call: &Call) -> Result<Response, Fault> {
    let group = call.group()?;
    call.check_topic()?;
    let (owner, max) = (owner(&call.topic)?, call.query.messages);
    let ask = |group, wait| call.broker().receive_checks(&call.session, group, max, wait);
    let receive = async {
        let mut checks = ask(&owner, Duration::ZERO).await?;
        if checks.is_empty() {
            checks = ask(&group, Duration::ZERO).await?;
        }
        if checks.is_empty() && !call.wait().is_zero() {
            checks = tokio::select! {
                checks = ask(&owner, call.wait()) => checks?,
                checks = ask(&group, call.wait()) => checks?,
            };
        }
        Ok(checks)
    };
    let checks: Vec<TransactionCheck> = call.waiting(receive).await?;
    if checks.is_empty() {
        return Err(Fault::nothing());
    }
    let interval = call.broker().tuned().check_interval.as_millis();
    let next = call.broker().now().saturating_add(interval);
    let shown = checks.iter().map(|check| Shown {
        message: &check.message,
        handle: handles::of_transaction(check.transaction, &call.topic),
        first: first_delivery(call, &check.group, &check.message, check.checks),
        next,
        times: check.checks,
    });
    Ok(messages(call, &shown.collect::<Vec<_>>()))
}
