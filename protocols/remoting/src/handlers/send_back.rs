//! CONSUMER_SEND_MSG_BACK (36): a consumer could not process a message.

use super::{Call, Result};
use crate::codes::response::SYSTEM_ERROR;
use crate::errors::Failure;
use crate::response::Response;
use sluice_model::ErrorKind;

/// Versions before this one send no own maximum that counts.
const FIRST_WITH_OWN_MAXIMUM: i32 = 121;

/// The message comes again at the delay level that the consumer names; at level 0 the group decides, and a negative
/// level asks for the dead-letter topic at once.
pub(super) async fn handle(call: Call) -> Result<Response> {
    let group = call.group("group")?;
    let locator: u64 = call.number("offset")?;
    let level: i64 = call.number("delayLevel")?;
    let attempts = if level < 0 { Some(0) } else { own_maximum(&call)? };
    let delay = call.node.config.delay_of(level).map(|span| span.0);
    match call.node.broker.send_back(&call.session, &group, locator, delay, attempts).await {
        Ok(()) => Ok(Response::success()),
        Err(error) if error.kind() == ErrorKind::MessageNotFound => {
            Err(Failure::new(SYSTEM_ERROR, format!("look message by offset failed, {locator}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// After how many retries the consumer gives up; -1 leaves it to the group.
fn own_maximum(call: &Call) -> Result<Option<u32>> {
    let own: Option<i64> = call.optional("maxReconsumeTimes")?;
    Ok(own
        .filter(|_| call.frame.head.version >= FIRST_WITH_OWN_MAXIMUM)
        .and_then(|retries| u32::try_from(retries).ok()))
}
