//! CHECK_TRANSACTION_STATE (39): a producer is asked what became of a transaction.
//!
//! The one idea to know: the client does not answer; it ends the transaction (37) and echoes the place of the half,
//! which it is told here. It finds its own producer by the property `PGROUP` of the message in the body.

use crate::codec::FLAG_ONE_WAY;
use crate::codes::request::CHECK_TRANSACTION_STATE;
use crate::convert::add_properties;
use crate::ids::offset_id;
use crate::node::Node;
use crate::properties::{PropertyList, name};
use crate::record::Records;
use crate::response::{Value, request_to_client};
use sluice_broker::TransactionCheck;
use sluice_model::MessageType;
use sluice_net::Output;
use std::net::SocketAddr;

/// The question, for a client that reaches the broker at `host`.
pub(crate) fn question(check: TransactionCheck, node: &Node, host: SocketAddr) -> Output {
    let TransactionCheck { transaction, group, checks, mut message } = check;
    let id = message.message.id.clone();
    let ext = [
        ("topic", Value::Text(message.topic.as_bytestring().clone())),
        ("tranStateTableOffset", Value::from(message.offset)),
        ("commitLogOffset", Value::from(transaction)),
        ("msgId", Value::from(id.clone())),
        ("transactionId", Value::from(id)),
        ("offsetMsgId", Value::from(offset_id(host, transaction))),
        ("bname", Value::Text(node.marks.broker.name.clone())),
    ];
    // The message is not committed, and must not look so.
    message.message.kind = MessageType::Normal;
    let mut list = PropertyList::with_capacity(256 + message.message.headers.encoded().len());
    list.push(name::PGROUP, group.as_str());
    list.push(name::TRAN_MSG, "true");
    list.push("TRANSACTION_CHECK_TIMES", &checks.to_string());
    let list = add_properties(list, &message, &node.marks, host);
    let mut records = Records::default();
    records.push(&message, &list, host);
    request_to_client(CHECK_TRANSACTION_STATE, FLAG_ONE_WAY, &ext, records.into_parts()).1
}
