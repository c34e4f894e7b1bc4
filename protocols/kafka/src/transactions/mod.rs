//! Transactions: producers with names, and what is said of the transactions that they have open.
//!
//! The one idea to know: everything here is a question to the broker, whose verbs are `name_producer`,
//! `join_transaction`, `promise_offsets` and `decide_transaction`; the coordinator that clients look for has no state of
//! its own. That ends are one atomic group of the log, and that nobody but a Kafka consumer who asks for it sees what is
//! not decided, is the broker's doing, too.
//!
//! - `init` — a name, and a new epoch; `join` — partitions and groups; `offsets` — offsets that hold later; `end` — the
//!   decision; `mark` — that decision, as consumers read it; `shown` — for administrators
//! - batches that are part of a transaction come by `handlers/produce`; what consumers see is `handlers/fetch`

mod end;
mod init;
mod join;
mod mark;
mod offsets;
mod shown;
#[cfg(test)]
mod tests;

pub(crate) use mark::control_batch;

use crate::api::{Api, api};
use crate::errors::Code;
use crate::names;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest, ProducerId as KafkaProducer,
    TransactionalId, TxnOffsetCommitRequest,
};
use sluice_broker::{ProducerId, TransactionRefusal};
use sluice_model::{Error, ErrorKind, GroupName};

/// The rows of the table of APIs that are about transactions. WriteTxnMarkers is not among them: there are no markers
/// without a decision, and a client that wants to write some is told that there is no such request.
pub(crate) static APIS: [Api; 8] = [
    api!(InitProducerIdRequest, 0..=5, "s i 3+:l 3+:h", init::init_producer_id),
    api!(AddPartitionsToTxnRequest, 0..=3, "s l h [s [i]]", join::add_partitions),
    api!(AddOffsetsToTxnRequest, 0..=4, "s l h s", join::add_offsets),
    api!(EndTxnRequest, 0..=5, "s l h b", end::end_txn),
    api!(TxnOffsetCommitRequest, 0..=5, "s s l h 3+:i 3+:s 3+:s [s [i l 2+:i s]]", offsets::commit),
    api!(DescribeProducersRequest, 0..=0, "[s [i]]", shown::describe_producers),
    api!(DescribeTransactionsRequest, 0..=0, "[s]", shown::describe_transactions),
    api!(ListTransactionsRequest, 0..=1, "[s] [l] 1+:l", shown::list_transactions),
];

/// The producer that a transactional id names: one name, one alphabet, as for groups.
pub(crate) fn name(id: &str) -> Result<GroupName, Code> {
    names::group(id).ok_or(Code::InvalidRequest)
}

/// Who speaks: its name, and what it shows.
fn speaker(id: &TransactionalId, number: KafkaProducer, epoch: i16) -> Result<(GroupName, ProducerId), Code> {
    let name = name(id)?;
    match (u64::try_from(number.0), u16::try_from(epoch)) {
        (Ok(number), Ok(epoch)) => Ok((name, ProducerId { number, epoch })),
        _ => Err(Code::InvalidProducerIdMapping),
    }
}

/// A refusal that is about the producer. Older versions have no word for one that was replaced.
pub(crate) fn code_of(error: &Error, knows_fenced: bool) -> Code {
    match TransactionRefusal::of(error) {
        Some(TransactionRefusal::Unknown) => Code::InvalidProducerIdMapping,
        Some(TransactionRefusal::Fenced) if knows_fenced => Code::ProducerFenced,
        Some(TransactionRefusal::Fenced) => Code::InvalidProducerEpoch,
        Some(TransactionRefusal::State) => Code::InvalidTxnState,
        Some(TransactionRefusal::Timeout) => Code::InvalidTransactionTimeout,
        None => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => {
                Code::TransactionalIdAuthorizationFailed
            }
            // Clients look for the coordinator again and repeat what they asked.
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::StorageFull => {
                Code::CoordinatorNotAvailable
            }
            _ => Code::of_cluster(error),
        },
    }
}
