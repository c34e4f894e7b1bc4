//! VIEW_MESSAGE_BY_ID (33): the message whose record is at a locator.

use super::{Call, Result};
use crate::codes::response::SYSTEM_ERROR;
use crate::convert::to_properties;
use crate::errors::Failure;
use crate::record::Records;
use crate::response::Response;
use sluice_model::ErrorKind;

pub(super) async fn handle(call: Call) -> Result<Response> {
    let locator: u64 = call.number("offset")?;
    let stored =
        call.node.broker.message_at(&call.session, locator).await.map_err(|error| match error.kind() {
            ErrorKind::MessageNotFound => {
                Failure::new(SYSTEM_ERROR, format!("can not find message by the offset, {locator}"))
            }
            _ => error.into(),
        })?;
    let host = call.link.here.host;
    let mut records = Records::default();
    records.push(&stored, &to_properties(&stored, &call.node.marks, host), host);
    let mut response = Response::success();
    response.body = records.into_parts();
    Ok(response)
}
