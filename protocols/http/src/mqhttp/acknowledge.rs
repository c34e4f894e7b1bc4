//! Settling: what was consumed, and the halves whose outcome is known. Each handle is settled for itself.

use super::call::Call;
use super::faults::{Code, Fault, Unsettled, unsettled};
use super::xml::read;
use super::{handles, transactions};
use crate::call::no_content;
use axum::response::Response;
use sluice_broker::Promise;
use sluice_model::{Error, ErrorKind, GroupName};

const NOT_VALID: &str = "The receipt handle you provide is not valid.";

pub(super) async fn acknowledge(call: &Call) -> Result<Response, Fault> {
    let handles = read::receipt_handles(&call.document);
    let handles = handles.map_err(|why| Fault::new(Code::MalformedXML, why.0))?;
    if handles.is_empty() {
        return Err(Fault::new(Code::MissingReceiptHandle, "there is no ReceiptHandle"));
    }
    let group = call.group()?;
    call.check_topic()?;
    let failed = match call.query.trans.as_str() {
        "" => acknowledge_all(call, &group, handles).await?,
        "commit" => transactions::end_all(call, handles, true).await?,
        "rollback" => transactions::end_all(call, handles, false).await?,
        other => return Err(Fault::invalid(format!("trans is {other:?}, not commit or rollback"))),
    };
    if failed.is_empty() { Ok(no_content()) } else { Ok(unsettled(&failed)) }
}

/// Settles every handle, then waits for all of them together: they share the log's next write.
async fn acknowledge_all(
    call: &Call,
    group: &GroupName,
    handles: Vec<String>,
) -> Result<Vec<Unsettled>, Fault> {
    call.broker().group(&call.session, group)?;
    let started: Vec<_> = handles
        .into_iter()
        .map(|handle| {
            let started = acknowledge_one(call, group, &handle);
            (handle, started)
        })
        .collect();
    let mut failed = Vec::new();
    for (handle, started) in started {
        let outcome = match started {
            Ok(Some(promise)) => promise.await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => remember(call, handle),
            Err(error) => failed.push(not_settled(handle, error)?),
        }
    }
    Ok(failed)
}

/// Nothing to wait for when the handle was acknowledged before and its lease would still hold: a client that lost the first
/// answer asks again.
fn acknowledge_one(call: &Call, group: &GroupName, handle: &str) -> Result<Option<Promise<()>>, Error> {
    let receipt = handles::delivery(handle, &call.topic, group).ok_or_else(|| Error::invalid(NOT_VALID))?;
    match call.broker().ack(&call.session, &receipt) {
        Err(error) if error.kind() == ErrorKind::ReceiptExpired => {
            let until = call.app.mq.acknowledged.recall(handle);
            if until.is_some_and(|until| call.broker().now() < until) { Ok(None) } else { Err(error) }
        }
        other => other.map(Some),
    }
}

fn remember(call: &Call, handle: String) {
    let config = &call.app.config.mq;
    let longest = config.invisible_time.as_millis().max(config.order_invisible_time.as_millis());
    if call.app.mq.acknowledged.recall(&*handle).is_none() {
        call.app.mq.acknowledged.remember(&*handle, call.broker().now().saturating_add(longest));
    }
}

/// An entry of the answer for a handle that is not good; anything else concerns the whole request.
pub(super) fn not_settled(handle: String, error: Error) -> Result<Unsettled, Fault> {
    match error.kind() {
        ErrorKind::InvalidArgument
        | ErrorKind::ReceiptExpired
        | ErrorKind::MessageNotFound
        | ErrorKind::GroupNotFound
        | ErrorKind::Conflict => Ok(Unsettled { handle, message: format!("{NOT_VALID} {}", detail(&error)) }),
        _ => Err(error.into()),
    }
}

fn detail(error: &Error) -> &str {
    if error.message() == NOT_VALID { "" } else { error.message() }
}
