//! Temporary queues and topics: mailboxes of one connection, in memory, gone with it.
//!
//! They are for answers: a client puts `reply-to:/temp-queue/me` into its question, whoever reads the question finds an
//! address there that is good from every connection, and sends the answer to it. The one idea to know: the address
//! is a capability. It has 128 random bits, no policy speaks of it, and whoever was told it may send there.
//!
//! Letters are no messages of the broker: nothing is stored, nothing is counted against a quota, no other wire can
//! reach them. What waits is bounded for each connection (`max_mail`); whoever lets it fill up loses the connection
//! rather than the sender its own. Their push loop is `subscription/mail.rs`.

use crate::errors::Failure;
use crate::frame::Version;
use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_model::{Keys, Message, Millis};
use sluice_net::Outbox;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// What a letter costs beside its bytes.
const OVERHEAD: usize = 512;

/// Whether one subscriber gets a letter, or each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Queue,
    Topic,
}

/// What the owner calls a mailbox, what everyone else does.
const SPELLINGS: [(Kind, &str, &str); 2] =
    [(Kind::Queue, "/temp-queue/", "/reply-queue/"), (Kind::Topic, "/temp-topic/", "/reply-topic/")];

/// A destination that is a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Whose; `None` is the speaker's own.
    owner: Option<u128>,
    pub kind: Kind,
    name: ByteString,
}

impl Address {
    /// Reads a destination; `None` when it is no mailbox's.
    ///
    /// # Errors
    /// For one without a name, or with a broken one.
    pub fn parse(text: &ByteString) -> Option<Result<Self, Failure>> {
        let wrong = || Failure::protocol("Invalid request", format!("destination {text:?} names no mailbox"));
        SPELLINGS.iter().find_map(|&(kind, own, others)| {
            if let Some(name) = text.strip_prefix(own) {
                let address = Self { owner: None, kind, name: name.into() };
                return Some(if name.is_empty() { Err(wrong()) } else { Ok(address) });
            }
            let (owner, name) = text.strip_prefix(others)?.split_once('.').unwrap_or_default();
            let owner = Some(owner).filter(|hex| hex.len() == 32);
            match owner.and_then(|hex| u128::from_str_radix(hex, 16).ok()) {
                Some(owner) => Some(Ok(Self { owner: Some(owner), kind, name: name.into() })),
                None => Some(Err(wrong())),
            }
        })
    }

    /// Whether it is the speaker's own mailbox.
    pub fn is_own(&self) -> bool {
        self.owner.is_none()
    }
}

/// All connections that have mailboxes.
#[derive(Debug, Default)]
pub(crate) struct PostOffice {
    rooms: Mutex<HashMap<u128, Weak<Mailroom>>>,
}

impl PostOffice {
    /// Opens the mailboxes of one connection.
    pub fn open(self: &Arc<Self>, out: Outbox, version: Version, limits: MailLimits) -> Arc<Mailroom> {
        let room = Arc::new(Mailroom {
            token: rand::random(),
            office: self.clone(),
            out,
            version,
            limits,
            boxes: Mutex::default(),
            budget: Arc::default(),
            last: AtomicU64::new(0),
        });
        self.rooms.lock().insert(room.token, Arc::downgrade(&room));
        room
    }

    /// Puts a letter into a mailbox; one whose owner has gone is dropped, as its answer would be.
    pub fn deliver(&self, own: Option<&Arc<Mailroom>>, to: &Address, message: Message) {
        let room = match to.owner {
            None => own.cloned(),
            Some(owner) => self.rooms.lock().get(&owner).and_then(Weak::upgrade),
        };
        match room {
            Some(room) => room.put(to, message),
            None => metrics::counter!("sluice_stomp_letters_total", "fate" => "dropped").increment(1),
        }
    }
}

/// How much one connection's mailboxes may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MailLimits {
    pub boxes: usize,
    pub bytes: usize,
}

/// The mailboxes of one connection.
pub(crate) struct Mailroom {
    token: u128,
    office: Arc<PostOffice>,
    out: Outbox,
    version: Version,
    limits: MailLimits,
    boxes: Mutex<HashMap<(Kind, ByteString), Mailbox>>,
    budget: Arc<Budget>,
    last: AtomicU64,
}

impl std::fmt::Debug for Mailroom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailroom") // the token is a secret
    }
}

/// A mailbox.
#[derive(Debug)]
enum Mailbox {
    /// Its subscribers share it, and letters wait for the first of them.
    Queue(Arc<Slot>),
    /// Each subscriber has its own.
    Topic(Vec<Weak<Slot>>),
}

impl Drop for Mailroom {
    fn drop(&mut self) {
        self.office.rooms.lock().remove(&self.token);
    }
}

impl Mailroom {
    /// What everyone else calls an own mailbox, which is made if it is new.
    ///
    /// # Errors
    /// At the limit of mailboxes.
    pub fn public(&self, own: &Address) -> Result<String, Failure> {
        self.with_box(own, |_| ())?;
        let (_, _, prefix) = SPELLINGS.iter().find(|(kind, ..)| *kind == own.kind).unwrap_or(&SPELLINGS[0]);
        Ok(format!("{prefix}{:032x}.{}", self.token, own.name))
    }

    /// Where a subscriber to an own mailbox gets its letters.
    ///
    /// # Errors
    /// At the limit of mailboxes.
    pub fn subscribe(&self, own: &Address) -> Result<Arc<Slot>, Failure> {
        self.with_box(own, |mailbox| match mailbox {
            Mailbox::Queue(slot) => slot.clone(),
            Mailbox::Topic(slots) => {
                slots.retain(|slot| slot.strong_count() > 0);
                let slot = Arc::new(Slot::default());
                slots.push(Arc::downgrade(&slot));
                slot
            }
        })
    }

    fn with_box<T>(&self, own: &Address, then: impl FnOnce(&mut Mailbox) -> T) -> Result<T, Failure> {
        let mut boxes = self.boxes.lock();
        let (max, known) = (self.limits.boxes, boxes.len());
        let key = (own.kind, own.name.clone());
        if known >= max && !boxes.contains_key(&key) {
            let detail = format!("a connection may have at most {max} temporary queues and topics");
            return Err(Failure::protocol("Too many temporary destinations", detail));
        }
        Ok(then(boxes.entry(key).or_insert_with(|| match own.kind {
            Kind::Queue => Mailbox::Queue(Arc::default()),
            Kind::Topic => Mailbox::Topic(Vec::new()),
        })))
    }

    fn put(&self, to: &Address, message: Message) {
        let slots: Vec<_> = match self.boxes.lock().get(&(to.kind, to.name.clone())) {
            Some(Mailbox::Queue(slot)) => vec![slot.clone()],
            Some(Mailbox::Topic(slots)) => slots.iter().filter_map(Weak::upgrade).collect(),
            None => Vec::new(),
        };
        if slots.is_empty() {
            metrics::counter!("sluice_stomp_letters_total", "fate" => "dropped").increment(1);
            return;
        }
        let id = format!("{:x}-{}", self.token as u32, self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let letter = Arc::new(Letter::new(id.into(), message, &self.budget));
        if self.budget.0.load(Ordering::Relaxed) > self.limits.bytes {
            let detail = format!(
                "more than {} bytes wait in the temporary queues of this connection",
                self.limits.bytes
            );
            metrics::counter!("sluice_stomp_letters_total", "fate" => "refused").increment(1);
            self.out
                .close(Some(Failure::protocol("Mailbox full", detail).to_frame(Some(self.version), None)));
            return;
        }
        metrics::counter!("sluice_stomp_letters_total", "fate" => "delivered").increment(1);
        for slot in slots {
            slot.put(letter.clone());
        }
    }
}

/// Bytes of letters that exist.
#[derive(Debug, Default)]
struct Budget(AtomicUsize);

/// A message in a mailbox, or on its way from there.
#[derive(Debug)]
pub(crate) struct Letter {
    pub id: ByteString,
    pub message: Message,
    cost: usize,
    budget: Arc<Budget>,
}

impl Letter {
    /// Copies what it keeps: a slice would keep the whole buffer that it was read into.
    fn new(id: ByteString, mut message: Message, budget: &Arc<Budget>) -> Self {
        let copied = |text: &ByteString| ByteString::from(&text[..]);
        message.body = message.body.as_deref().map(Bytes::copy_from_slice);
        message.tag = message.tag.as_ref().map(copied);
        message.ordering_group = message.ordering_group.as_ref().map(copied);
        message.keys = Keys::joined(copied(message.keys.as_text()));
        let fields = [message.tag.as_ref(), message.ordering_group.as_ref(), Some(message.keys.as_text())];
        let fields: usize = fields.into_iter().flatten().map(|text| text.len()).sum();
        let cost = OVERHEAD + message.body_bytes().len() + message.headers.encoded().len() + fields;
        budget.0.fetch_add(cost, Ordering::Relaxed);
        Self { id, message, cost, budget: budget.clone() }
    }

    /// Whether nobody wants it any more.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.message.expires_at.is_some_and(|at| at <= now)
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

/// Letters that wait, each with the number of its next delivery.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    waiting: Mutex<VecDeque<(Arc<Letter>, u32)>>,
    arrived: Notify,
}

impl Slot {
    fn put(&self, letter: Arc<Letter>) {
        self.waiting.lock().push_back((letter, 1));
        self.arrived.notify_one();
    }

    /// Takes a letter that was taken before, in front of all others.
    pub fn give_back(&self, letter: Arc<Letter>, attempt: u32) {
        self.waiting.lock().push_front((letter, attempt));
        self.arrived.notify_one();
    }

    /// The next letter. Cancel-safe.
    pub async fn next(&self) -> (Arc<Letter>, u32) {
        loop {
            let arrived = self.arrived.notified();
            let first = self.waiting.lock().pop_front();
            if let Some(letter) = first {
                return letter;
            }
            arrived.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Result<Address, Failure>> {
        Address::parse(&text.into())
    }

    #[test]
    fn addresses_are_told_from_other_destinations() {
        let own = parse("/temp-queue/me").unwrap().unwrap();
        assert!(own.is_own());
        let other = parse("/reply-topic/0000000000000000000000000000002a.a.b").unwrap().unwrap();
        assert_eq!(other, Address { owner: Some(42), kind: Kind::Topic, name: "a.b".into() });
        for text in ["/temp-queue/", "/temp-topic/", "/reply-queue/", "/reply-queue/2a.me", "/reply-queue/x"]
        {
            assert!(parse(text).unwrap().is_err(), "{text}");
        }
        for text in ["/queue/a", "/temp-queue", "temp", "/reply/x"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn letters_give_their_bytes_back() {
        let budget = Arc::default();
        let message = Message { body: Some(Bytes::from_static(b"12345")), ..Message::default() };
        let letter = Letter::new("1".into(), message, &budget);
        assert!(budget.0.load(Ordering::Relaxed) >= OVERHEAD + 5);
        drop(letter);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
