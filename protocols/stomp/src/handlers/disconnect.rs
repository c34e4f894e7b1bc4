//! DISCONNECT: no more messages, then the RECEIPT of everything before it, then the end.

use crate::client::{Client, receipt_frame};
use crate::frame::Frame;
use sluice_net::{Outcome, Reply};

pub(super) fn disconnect(client: &mut Client, frame: &Frame) -> Outcome {
    client.transactions.clear();
    let ended = client.subscriptions.end_all();
    let receipt = frame.get("receipt").cloned();
    let version = client.version;
    Outcome::pending(async move {
        ended.await;
        receipt
            .map_or_else(Reply::nothing, |receipt| Reply::new(receipt_frame(version, &receipt)))
            .then_close()
    })
}
