//! InitProducerId: a number for a producer that does not want its batches stored twice; for one with a name also an epoch,
//! by which whoever had the name before is out.

use super::{code_of, name};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId as KafkaProducer};
use sluice_broker::{NameProducer, ProducerId};
use std::sync::Arc;
use std::time::Duration;

/// The epoch of a producer that is new, and of none.
const FIRST_EPOCH: i16 = 0;
const NO_EPOCH: i16 = -1;
/// The first version whose clients know that they can be replaced.
const KNOWS_FENCED: i16 = 4;

pub(crate) async fn init_producer_id(
    client: Arc<Client>,
    head: Head,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Fatal> {
    let given = match request.transactional_id.as_ref().filter(|id| !id.is_empty()) {
        Some(id) => named(&client, id, head.version, &request).await,
        // Whatever number the producer had before, it gets a new one.
        None => i64::try_from(client.broker().producer_id())
            .map(|number| (number, FIRST_EPOCH))
            .map_err(|_| Code::Unknown),
    };
    Ok(match given {
        Ok((number, epoch)) => InitProducerIdResponse::default()
            .with_producer_id(KafkaProducer(number))
            .with_producer_epoch(epoch),
        Err(code) => InitProducerIdResponse::default()
            .with_error_code(code.number())
            .with_producer_id(KafkaProducer(-1))
            .with_producer_epoch(NO_EPOCH),
    })
}

async fn named(
    client: &Client,
    id: &str,
    version: i16,
    request: &InitProducerIdRequest,
) -> Result<(i64, i16), Code> {
    let session = client.session().map_err(|_| Code::TransactionalIdAuthorizationFailed)?;
    let name = name(id)?;
    let timeout = Duration::from_millis(u64::try_from(request.transaction_timeout_ms).unwrap_or(0));
    let was = match (u64::try_from(request.producer_id.0), u16::try_from(request.producer_epoch)) {
        (Ok(number), Ok(epoch)) if version >= 3 => Some(ProducerId { number, epoch }),
        _ => None,
    };
    let request = NameProducer { name: &name, timeout, was };
    let refused = |error: &_| code_of(error, version >= KNOWS_FENCED);
    let promise = client.broker().name_producer(&session, &request).map_err(|error| refused(&error))?;
    let id = promise.await.map_err(|error| refused(&error))?;
    told(id).ok_or(Code::Unknown)
}

/// As the wire has it.
pub(super) fn told(id: ProducerId) -> Option<(i64, i16)> {
    Some((i64::try_from(id.number).ok()?, i16::try_from(id.epoch).ok()?))
}
