//! BEGIN, COMMIT, ABORT.

use crate::client::{Client, required};
use crate::errors::Failure;
use crate::frame::Frame;
use crate::subscription::refuse;
use crate::transactions::Commit;
use sluice_net::Outcome;

pub(super) fn begin(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let id = required(frame, "transaction")?;
    client.transactions.begin(id.clone())?;
    Ok(client.done(frame.get("receipt").cloned()))
}

/// Sends and acknowledgements as one atomic group; letters and what was refused follow it.
pub(super) fn commit(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let id = required(frame, "transaction")?;
    let Commit { work, refused, letters } = client.transactions.end(id)?.commit();
    let nothing = work.sends.is_empty() && work.acks.is_empty();
    let done = if nothing { None } else { Some(client.wire.broker.work(&client.session, work)?) };
    let refused = refused
        .into_iter()
        .map(|one| refuse(&client.wire, &client.session, one))
        .collect::<Result<Vec<_>, _>>()?;
    let own = (!letters.is_empty()).then(|| client.mailroom().clone());
    let post = client.wire.post.clone();
    Ok(client.when(frame.get("receipt").cloned(), async move {
        if let Some(done) = done {
            done.await?;
        }
        for one in refused {
            one.await?;
        }
        for (to, message) in letters {
            post.deliver(own.as_ref(), &to, message);
        }
        Ok(())
    }))
}

pub(super) fn abort(client: &mut Client, frame: &Frame) -> Result<Outcome, Failure> {
    let id = required(frame, "transaction")?;
    client.transactions.end(id)?.abort(id);
    Ok(client.done(frame.get("receipt").cloned()))
}
