//! InitProducerId: a number for a producer that does not want its batches stored twice.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use std::sync::Arc;

/// The epoch of a producer that is new, and of none.
const FIRST_EPOCH: i16 = 0;
const NO_EPOCH: i16 = -1;

/// Whatever number the producer had before, it gets a new one. Transactions are refused with a code that their producers
/// do not wait out.
pub(crate) async fn init_producer_id(
    client: Arc<Client>,
    _: Head,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Fatal> {
    let refused = |code: Code| {
        InitProducerIdResponse::default()
            .with_error_code(code.number())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(NO_EPOCH)
    };
    if request.transactional_id.as_ref().is_some_and(|id| !id.is_empty()) {
        return Ok(refused(Code::TransactionalIdAuthorizationFailed));
    }
    let Ok(id) = i64::try_from(client.broker().producer_id()) else { return Ok(refused(Code::Unknown)) };
    Ok(InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(FIRST_EPOCH))
}
