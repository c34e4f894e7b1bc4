//! A connection whose client is logged in: what the handlers work with.

use crate::codec::FrameWriter;
use crate::destination::{self, Destination};
use crate::durable;
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use crate::mail::{MailLimits, Mailroom};
use crate::subscription::{Seat, Subscriptions};
use crate::transactions::Transactions;
use crate::wire::Wire;
use bytestring::ByteString;
use sluice_auth::Session;
use sluice_model::GroupName;
use sluice_net::{Outbox, Outcome, Output, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state of a logged-in connection.
pub(crate) struct Client {
    pub wire: Arc<Wire>,
    pub session: Session,
    pub version: Version,
    /// What the client calls itself, if it does.
    client_id: Option<ByteString>,
    /// What its names are within; empty for none.
    namespace: Box<str>,
    pub subscriptions: Subscriptions,
    pub transactions: Transactions,
    mailroom: Option<Arc<Mailroom>>,
    out: Outbox,
    fate: Arc<Fate>,
    _counted: Counted,
}

/// A connection in the numbers; dropping it counts it off.
struct Counted(metrics::Gauge);

impl Counted {
    fn of(version: Version) -> Self {
        let connections = metrics::gauge!("sluice_stomp_connections", "version" => version.as_str());
        connections.increment(1.0);
        Self(connections)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// What a frame under way and its connection tell each other.
#[derive(Debug, Default)]
struct Fate {
    /// A frame has failed after it was handled: its ERROR is on the way, nothing after it counts.
    failed: AtomicBool,
}

impl Client {
    pub fn new(
        wire: Arc<Wire>,
        session: Session,
        version: Version,
        client_id: Option<ByteString>,
        namespace: Box<str>,
        out: Outbox,
    ) -> Self {
        let transactions = Transactions::new(&wire);
        Self {
            wire,
            session,
            version,
            client_id,
            namespace,
            subscriptions: Subscriptions::default(),
            transactions,
            mailroom: None,
            out,
            fate: Arc::default(),
            _counted: Counted::of(version),
        }
    }

    /// A destination as this client means it.
    pub fn destination(&self, text: &ByteString) -> Result<Destination, Failure> {
        Ok(Destination::within(text, &self.namespace)?)
    }

    /// A group as this client means it.
    pub fn group(&self, name: &str) -> Result<GroupName, Failure> {
        Ok(GroupName::new(destination::whole(&self.namespace, name))?)
    }

    /// The group of the durable subscription that a frame speaks of, if it speaks of one.
    pub fn durable(&self, frame: &Frame) -> Result<Option<GroupName>, Failure> {
        let named = durable::group(frame, self.client_id.as_ref())?;
        named.map(|name| self.group(name.as_str())).transpose()
    }

    /// What a subscription takes along, beside the subscriptions themselves.
    pub fn seat(&mut self) -> (&mut Subscriptions, Seat<'_>) {
        let seat = Seat { wire: &self.wire, session: &self.session, version: self.version, out: &self.out };
        (&mut self.subscriptions, seat)
    }

    /// The connection's mailboxes, opened when they are first asked for.
    pub fn mailroom(&mut self) -> &Arc<Mailroom> {
        let (wire, out, version) = (&self.wire, &self.out, self.version);
        self.mailroom.get_or_insert_with(|| {
            let limits = MailLimits { boxes: wire.config.max_temporary, bytes: wire.config.max_mail.bytes() };
            wire.post.open(out.clone(), version, limits)
        })
    }

    /// Whether the ERROR of an earlier frame is on its way.
    pub fn has_failed(&self) -> bool {
        self.fate.failed.load(Ordering::Relaxed)
    }

    /// Whether frames are under way whose answers are not there.
    pub fn is_busy(&self) -> bool {
        Arc::strong_count(&self.fate) > 1
    }

    /// The answer to a frame that is done.
    pub fn done(&self, receipt: Option<ByteString>) -> Outcome {
        receipt.map_or(Outcome::Nothing, |receipt| Outcome::reply(receipt_frame(self.version, &receipt)))
    }

    /// The answer to a frame that is done when `work` is.
    pub fn when<F>(&self, receipt: Option<ByteString>, work: F) -> Outcome
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Outcome::pending(self.answer(receipt, work))
    }

    /// Like `when`; the next frame waits for it.
    pub fn first<F>(&self, receipt: Option<ByteString>, work: F) -> Outcome
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Outcome::barrier(self.answer(receipt, work))
    }

    fn answer<F>(&self, receipt: Option<ByteString>, work: F) -> impl Future<Output = Reply> + Send + 'static
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (version, fate) = (self.version, self.fate.clone());
        async move {
            match (work.await, receipt) {
                (Ok(()), Some(receipt)) => Reply::new(receipt_frame(version, &receipt)),
                (Ok(()), None) => Reply::nothing(),
                (Err(failure), receipt) => {
                    fate.failed.store(true, Ordering::Relaxed);
                    Reply::new(failure.to_frame(Some(version), receipt.as_ref())).then_close()
                }
            }
        }
    }
}

pub(crate) fn receipt_frame(version: Version, receipt: &str) -> Output {
    let mut frame = FrameWriter::new(version, "RECEIPT");
    frame.header("receipt-id", receipt);
    frame.finish()
}

/// A header that the command cannot do without.
pub(crate) fn required<'a>(frame: &'a Frame, name: &'static str) -> Result<&'a ByteString, Failure> {
    frame.get(name).filter(|value| !value.is_empty()).ok_or_else(|| Failure::missing(name))
}
