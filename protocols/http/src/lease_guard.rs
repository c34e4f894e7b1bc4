//! Leases of an answer that may never arrive.
//!
//! Deliveries are leased before the answer is written. When the client has gone meanwhile, its answer is dropped
//! unread, and the leases are given back at once instead of running out. The one idea to know: the guard sits in the
//! answer's body, which the connection either takes or drops. What was taken and lost on the way runs out.

use crate::app::App;
use crate::attempts::Name;
use crate::staged::{self, Stage};
use axum::response::Response;
use bytes::Bytes;
use http_body::Body as _;
use sluice_auth::Session;
use sluice_broker::Broker;
use sluice_model::{Delivered, ReceiptHandle};
use std::io;
use std::sync::Arc;

/// What happens to the leases once the connection has taken the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// The client settles them.
    KeepWhenTaken,
    /// They count as consumed.
    AckWhenTaken,
}

/// Gives leases back unless told that they were taken.
pub(crate) struct LeaseGuard {
    broker: Broker,
    session: Session,
    receipts: Vec<ReceiptHandle>,
    settle: Settle,
    remember: Option<Box<Remember>>,
}

/// What is noted once the connection has taken the answer.
struct Remember {
    app: Arc<App>,
    name: Name,
    deliveries: Arc<[Delivered]>,
}

impl LeaseGuard {
    pub fn new(broker: Broker, session: Session, delivered: &[Delivered], settle: Settle) -> Self {
        let receipts = delivered.iter().map(|d| d.receipt.clone()).collect();
        Self { broker, session, receipts, settle, remember: None }
    }

    /// Guards these too.
    pub fn also(&mut self, delivered: &[Delivered]) {
        self.receipts.extend(delivered.iter().map(|d| d.receipt.clone()));
    }

    /// Lets the answer be asked for again once it is taken.
    pub fn remember(mut self, app: Arc<App>, name: Name, deliveries: Arc<[Delivered]>) -> Self {
        self.remember = Some(Box::new(Remember { app, name, deliveries }));
        self
    }

    /// Puts the guard into an answer's body. An empty body is never asked for, so it counts as taken.
    pub fn watch(mut self, response: Response) -> Response {
        if response.body().is_end_stream() {
            self.taken();
            return response;
        }
        response.map(|body| staged::through(self, body))
    }

    /// The connection has the bytes.
    pub fn taken(&mut self) {
        if let Some(remember) = self.remember.take() {
            let Remember { app, name, deliveries } = *remember;
            app.attempts.answered(name, deliveries);
        }
        for receipt in std::mem::take(&mut self.receipts) {
            if self.settle == Settle::AckWhenTaken {
                settle_quietly(self.broker.ack(&self.session, &receipt));
            }
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        for receipt in &self.receipts {
            settle_quietly(self.broker.release(&self.session, receipt));
        }
    }
}

/// Nobody is left to be told; the lease runs out when this failed.
fn settle_quietly(outcome: sluice_model::Result<sluice_broker::Promise<()>>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "could not settle a delivery whose client has gone");
    }
}

impl Stage for LeaseGuard {
    const KEEPS_LENGTH: bool = true;

    fn piece(&mut self, piece: Bytes) -> io::Result<Bytes> {
        Ok(piece)
    }

    fn end(&mut self) -> io::Result<Bytes> {
        self.taken();
        Ok(Bytes::new())
    }
}
