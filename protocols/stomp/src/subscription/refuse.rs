//! What becomes of a delivery that the client refused, or did not acknowledge in time.
//!
//! The one idea to know: it comes again, sooner the first few times and later after that, until the group's attempts are
//! used up; then it is a dead letter, or is dropped where there is no group to own one.

use super::{Claim, Entry, Ledger};
use crate::wire::Wire;
use futures_util::future::{BoxFuture, FutureExt, ready};
use sluice_auth::Session;
use sluice_broker::Holder;
use sluice_model::Result;
use std::sync::Arc;
use std::time::Duration;

/// A delivery that was refused, and what is to become of it.
pub(crate) struct Refused {
    pub ledger: Arc<Ledger>,
    pub holder: Option<Arc<Holder>>,
    pub entry: Entry,
    pub refusal: Refusal,
}

/// What a NACK asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    /// False: not again, to the dead letters.
    pub requeue: bool,
    /// When again; `None` is the rule's step.
    pub delay: Option<Duration>,
}

/// Gives a delivery back; the future says when that is stored.
///
/// # Errors
/// As the broker's verbs have them, `ReceiptExpired` among them.
pub(crate) fn refuse(
    wire: &Wire,
    session: &Session,
    refused: Refused,
) -> Result<BoxFuture<'static, Result<()>>> {
    let Refused { ledger, holder, entry, refusal } = refused;
    let broker = wire.broker.clone();
    let delay = refusal.delay.unwrap_or_else(|| wire.config.nack_delay(entry.attempt));
    match entry.claim {
        Claim::Lease(handle) if refusal.requeue => Ok(broker.nack(session, &handle, Some(delay))?.boxed()),
        Claim::Lease(handle) => {
            let session = session.clone();
            Ok(async move {
                let _lease = holder; // the delivery is ours until it is moved
                broker.dead_letter(&session, &handle, "refused by the consumer").await
            }
            .boxed())
        }
        claim @ (Claim::Place(_) | Claim::Letter(_)) => {
            if refusal.requeue && entry.attempt < broker.config().max_attempts {
                ledger.send_again(claim, entry.attempt + 1, delay);
            } else {
                metrics::counter!("sluice_stomp_dropped_total").increment(1); // no group, no dead letters
            }
            Ok(ready(Ok(())).boxed())
        }
    }
}
