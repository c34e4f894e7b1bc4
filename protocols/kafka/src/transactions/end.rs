//! EndTxn: the decision. From version 5 on the producer has another epoch afterwards, so that what is still on its way
//! from before is refused and cannot become part of its next transaction.

use super::init::told;
use super::{code_of, speaker};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId as KafkaProducer};
use sluice_broker::Speaker;
use std::sync::Arc;

/// The first version whose clients know that they can be replaced, and the first by which they get a new epoch.
const KNOWS_FENCED: i16 = 2;
const ANEW: i16 = 5;

pub(crate) async fn end_txn(
    client: Arc<Client>,
    head: Head,
    request: EndTxnRequest,
) -> Result<EndTxnResponse, Fatal> {
    let ended = decide(&client, head.version, &request).await;
    let mut response = EndTxnResponse::default();
    match ended {
        Ok((number, epoch)) if head.version >= ANEW => {
            response.producer_id = KafkaProducer(number);
            response.producer_epoch = epoch;
        }
        Ok(_) => {}
        Err(code) => response.error_code = code.number(),
    }
    Ok(response)
}

async fn decide(client: &Client, version: i16, request: &EndTxnRequest) -> Result<(i64, i16), Code> {
    let session = client.session().map_err(|_| Code::TransactionalIdAuthorizationFailed)?;
    let (name, id) = speaker(&request.transactional_id, request.producer_id, request.producer_epoch)?;
    let refused = |error: &_| code_of(error, version >= KNOWS_FENCED);
    let speaker = Speaker { name: &name, id };
    let ended = client.broker().decide_transaction(&session, &speaker, request.committed, version >= ANEW);
    let id = ended.map_err(|error| refused(&error))?.await.map_err(|error| refused(&error))?;
    told(id).ok_or(Code::Unknown)
}
