//! One file per command: header fields in, one broker verb, the answer out.

mod ack;
mod connect;
mod disconnect;
mod mail;
mod send;
mod subscribe;
mod transaction;
mod unsubscribe;

pub(crate) use connect::{Hello, Proof, connect, connected};

use crate::client::Client;
use crate::errors::Failure;
use crate::frame::{Command, Frame};
use sluice_net::Outcome;

/// Carries out a frame of a logged-in client.
///
/// # Errors
/// What becomes an ERROR and ends the connection.
pub(crate) fn handle(client: &mut Client, frame: Frame) -> Result<Outcome, Failure> {
    client.wire.count(frame.command);
    check_ids(client, &frame)?;
    match frame.command {
        Command::Connect | Command::Stomp => {
            Err(Failure::protocol("Already connected", "a connection begins only once"))
        }
        Command::Send => send::send(client, frame),
        Command::Subscribe => subscribe::subscribe(client, &frame),
        Command::Unsubscribe => unsubscribe::unsubscribe(client, &frame),
        Command::Ack => ack::ack(client, &frame),
        Command::Nack => ack::nack(client, &frame),
        Command::Begin => transaction::begin(client, &frame),
        Command::Commit => transaction::commit(client, &frame),
        Command::Abort => transaction::abort(client, &frame),
        Command::Disconnect => Ok(disconnect::disconnect(client, &frame)),
    }
}

fn check_ids(client: &Client, frame: &Frame) -> Result<(), Failure> {
    let max = client.wire.config.max_id.bytes();
    for name in ["receipt", "transaction", "id", "subscription"] {
        if frame.get(name).is_some_and(|id| id.len() > max) {
            return Err(Failure::protocol("Id too long", format!("{name} may have at most {max} bytes")));
        }
    }
    Ok(())
}
