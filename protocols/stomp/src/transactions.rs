//! Open transactions: what waits for COMMIT.
//!
//! The one idea to know: nothing has happened before COMMIT, and COMMIT is one atomic group of the log; an
//! acknowledgement inside only reserves its deliveries, so that ABORT leaves them as they were.

use crate::errors::Failure;
use crate::mail::Address;
use crate::subscription::{Claim, Entry, Ledger, Refusal, Refused};
use crate::wire::Wire;
use bytestring::ByteString;
use sluice_broker::{Holder, SendRequest, Work};
use sluice_model::Message;
use std::collections::HashMap;
use std::sync::Arc;

/// One transaction.
#[derive(Default)]
pub(crate) struct Transaction {
    sends: Vec<SendRequest>,
    letters: Vec<(Address, Message)>,
    settled: Vec<Settlement>,
    frames: usize,
    bytes: usize,
}

struct Settlement {
    ledger: Arc<Ledger>,
    number: u64,
    entry: Entry,
    refusal: Option<(Refusal, Option<Arc<Holder>>)>,
}

/// The open transactions of one connection.
pub(crate) struct Transactions {
    open: HashMap<ByteString, Transaction>,
    max_open: usize,
    max_frames: usize,
    max_bytes: usize,
    /// How many are open on all connections together.
    counted: metrics::Gauge,
}

impl Drop for Transactions {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Transactions {
    pub fn new(wire: &Wire) -> Self {
        let (ours, broker) = (&wire.config, wire.broker.config());
        Self {
            open: HashMap::new(),
            max_open: ours.max_transactions,
            max_frames: ours.max_transaction_frames.min(broker.max_batch),
            max_bytes: ours.max_transaction_size.bytes().min(broker.max_batch_size.bytes()),
            counted: metrics::gauge!("sluice_stomp_transactions_open"),
        }
    }

    /// Opens one.
    pub fn begin(&mut self, id: ByteString) -> Result<(), Failure> {
        if self.open.contains_key(&id) {
            return Err(bad(format!("transaction {id:?} is open already")));
        }
        if self.open.len() >= self.max_open {
            return Err(bad(format!("a connection may have at most {} open transactions", self.max_open)));
        }
        self.open.insert(id, Transaction::default());
        self.counted.increment(1.0);
        Ok(())
    }

    /// Takes one out, to commit or abort it.
    pub fn end(&mut self, id: &str) -> Result<Transaction, Failure> {
        let ended = self.open.remove(id).ok_or_else(|| unknown(id))?;
        self.counted.decrement(1.0);
        Ok(ended)
    }

    /// Forgets all of them: the connection ends.
    pub fn clear(&mut self) {
        self.counted.decrement(self.open.len() as f64);
        self.open.clear();
    }

    /// Whether it is open.
    pub fn check(&self, id: &str) -> Result<(), Failure> {
        if self.open.contains_key(id) { Ok(()) } else { Err(unknown(id)) }
    }

    /// Keeps a SEND for COMMIT.
    pub fn send(&mut self, id: &str, request: SendRequest) -> Result<(), Failure> {
        let bytes = request.messages.iter().map(size).sum();
        self.one_more(id, 1, bytes)?.sends.push(request);
        Ok(())
    }

    /// Keeps a letter for COMMIT.
    pub fn post(&mut self, id: &str, to: Address, message: Message) -> Result<(), Failure> {
        self.one_more(id, 1, size(&message))?.letters.push((to, message));
        Ok(())
    }

    /// Keeps an ACK, or a NACK, of reserved deliveries for COMMIT.
    pub fn settle(
        &mut self,
        id: &str,
        ledger: &Arc<Ledger>,
        reserved: Vec<(u64, Entry)>,
        refusal: Option<(Refusal, Option<Arc<Holder>>)>,
    ) -> Result<(), Failure> {
        let transaction = self.one_more(id, reserved.len(), 0)?;
        for (number, entry) in reserved {
            let (ledger, refusal) = (ledger.clone(), refusal.clone());
            transaction.settled.push(Settlement { ledger, number, entry, refusal });
        }
        Ok(())
    }

    fn one_more(&mut self, id: &str, frames: usize, bytes: usize) -> Result<&mut Transaction, Failure> {
        let transaction = self.open.get_mut(id).ok_or_else(|| unknown(id))?;
        transaction.frames += frames;
        transaction.bytes += bytes;
        if transaction.frames > self.max_frames {
            return Err(bad(format!("a transaction may hold at most {} frames", self.max_frames)));
        }
        if transaction.bytes > self.max_bytes {
            return Err(bad(format!("a transaction may hold at most {} bytes", self.max_bytes)));
        }
        Ok(transaction)
    }
}

/// What a COMMIT does.
pub(crate) struct Commit {
    /// As one atomic group of the log.
    pub work: Work,
    /// What the client refused, which follows it.
    pub refused: Vec<Refused>,
    /// What goes to mailboxes, when the rest is stored.
    pub letters: Vec<(Address, Message)>,
}

impl Transaction {
    /// What is to happen.
    pub fn commit(self) -> Commit {
        let mut work = Work { sends: self.sends, ..Work::default() };
        let mut refused = Vec::new();
        for Settlement { ledger, number, entry, refusal } in self.settled {
            ledger.remove([number]);
            match (refusal, &entry.claim) {
                (Some((refusal, holder)), _) => refused.push(Refused { ledger, holder, entry, refusal }),
                (None, Claim::Lease(receipt)) => work.acks.push(receipt.clone()),
                (None, Claim::Place(_) | Claim::Letter(_)) => {}
            }
        }
        Commit { work, refused, letters: self.letters }
    }

    /// Leaves its deliveries as they were.
    pub fn abort(self, id: &str) {
        for settlement in &self.settled {
            settlement.ledger.unreserve(id);
        }
    }
}

fn size(message: &Message) -> usize {
    message.body_bytes().len() + message.headers.encoded().len()
}

fn unknown(id: &str) -> Failure {
    bad(format!("there is no transaction {id:?}"))
}

fn bad(detail: String) -> Failure {
    Failure::protocol("Bad transaction", detail)
}
