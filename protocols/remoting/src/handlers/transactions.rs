//! Transactions: a prepared message (10, 310), and END_TRANSACTION (37).
//!
//! The one idea to know: the answer to the prepared message tells the half's place, as offset id and offset; the client
//! echoes both at the end. Stock clients end one-way, so a failure here is seen by nobody: the check that follows makes
//! up for it.

use super::{Call, Result};
use crate::codes::response::SYSTEM_ERROR;
use crate::convert::HalfMarks;
use crate::errors::Failure;
use crate::response::Response;
use sluice_broker::{EndTransaction, PrepareRequest, Promise, SendRequest, Sent};
use sluice_model::{ErrorKind, GroupName, Offset};

/// What a transaction comes to, as `commitOrRollback` says it.
const UNKNOWN: i32 = 0;
const COMMIT: i32 = 8;
const ROLLBACK: i32 = 12;

/// Puts the half of a transaction into the log.
pub(super) fn prepare(call: &Call, send: SendRequest, half: HalfMarks) -> Result<Promise<Vec<Sent>>> {
    let named = half.group.or_else(|| call.frame.ext.get("a").cloned());
    let named = named.or_else(|| call.frame.ext.get("producerGroup").cloned());
    let named = named.ok_or_else(|| Failure::illegal("a prepared message names no producer group"))?;
    let group = GroupName::new(named).map_err(|e| Failure::illegal(e.message()))?;
    let request = PrepareRequest { send, group, first_check: half.first_check };
    Ok(call.node.broker.prepare(&call.session, request)?)
}

/// 37: commits or rolls back. That the client does not know yet changes nothing: it is asked again.
pub(super) async fn end(call: Call) -> Result<Response> {
    let commit = match call.number::<i32>("commitOrRollback")? {
        COMMIT => true,
        ROLLBACK => false,
        UNKNOWN => return Ok(Response::success()),
        other => return Err(Failure::invalid(format!("commitOrRollback must be 0, 8 or 12, not {other}"))),
    };
    let group = call.group("producerGroup")?;
    let transaction: u64 = call.number("commitLogOffset")?;
    let offset: Offset = call.number("tranStateTableOffset")?;
    let end = EndTransaction { transaction, commit, group: Some(&group), offset: Some(offset) };
    match call.node.broker.end_transaction(&call.session, end).await {
        Ok(()) => Ok(Response::success()),
        Err(error) => {
            let why = error.message();
            tracing::warn!(peer = %call.link.peer, %group, transaction, commit, why, "a transaction was not ended");
            match error.kind() {
                ErrorKind::MessageNotFound => {
                    Err(Failure::new(SYSTEM_ERROR, "Find prepared transaction message failed"))
                }
                _ => Err(error.into()),
            }
        }
    }
}
