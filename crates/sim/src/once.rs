//! Sending under a key: the same again, at any time and in any life, is answered as the first time and stored nowhere.
//!
//! The one idea to know: a key lies in the group of its messages, so what a crash leaves of the log says which keys must
//! be known afterwards.

use crate::node::{Asked, Check, Node};
use crate::tally;
use crate::verbs::number_of;
use sluice_broker::{ContentHasher, OnceKey, OnceRefusal, OnceRequest, OnceSent, SendRequest, Sent};
use sluice_model::{ErrorKind, Millis};
use sluice_store::Lsn;
use std::error::Error;

/// Sendings that are remembered to be repeated.
const REPEATED: usize = 16;
/// Keys are remembered for longer.
const WINDOW: Millis = 20 * 3_600_000;

/// A sending under a key.
#[derive(Debug, Clone)]
pub struct SentOnce {
    request: SendRequest,
    sent: Vec<Sent>,
    /// Where its group ends.
    pub end: Lsn,
}

fn once(request: SendRequest, key: &str) -> OnceRequest<'_> {
    let content = request.messages.iter().fold(ContentHasher::default(), ContentHasher::message).finish();
    OnceRequest { sends: vec![request], key: OnceKey::Idempotency(key), content }
}

fn key(request: &SendRequest) -> String {
    request.messages.first().map(|message| message.id.to_string()).unwrap_or_default()
}

impl Node {
    /// Sends for the first time.
    pub fn send_once(&mut self, request: SendRequest) -> Check {
        let (numbers, topic) =
            (request.messages.iter().map(number_of).collect::<Vec<_>>(), request.topic.clone());
        let sent = self.broker.send_once(&self.me.clone(), once(request.clone(), &key(&request)));
        let groups = self.absorb(&Asked::default())?;
        match sent {
            Err(error) => self.refused("send once", &error, &[ErrorKind::TopicNotFound]),
            Ok(OnceSent::Again(before)) => Err(format!("a new key is known: {before:?}")),
            Ok(OnceSent::First(promise)) => {
                let sent = promise.preview().cloned().unwrap_or_default();
                self.placed(&sent, &numbers, &topic)?;
                self.once_latest = self.once_latest.max(self.now());
                let end = groups.last().map_or(0, |group| group.end);
                self.once.push(SentOnce { request, sent, end });
                if self.once.len() > REPEATED {
                    self.once.remove(0);
                }
                self.promised(promise, &groups, numbers);
                Ok(())
            }
        }
    }

    /// Sends again what was sent before.
    pub fn repeat(&mut self) -> Check {
        let latest = self.once_latest.max(self.now());
        self.once.retain(|once| once.sent.iter().all(|sent| sent.stored + WINDOW > latest));
        let Some(at) = (!self.once.is_empty()).then(|| self.dice.below(self.once.len() as u64) as usize)
        else {
            return Ok(());
        };
        let Some(SentOnce { request, sent, .. }) = self.once.get(at).cloned() else { return Ok(()) };
        let key = key(&request);
        let again = self.broker.send_once(&self.me.clone(), once(request.clone(), &key));
        if !self.absorb(&Asked::default())?.is_empty() {
            return Err(format!("what was sent under {key} is stored again"));
        }
        match again {
            Ok(OnceSent::Again(before)) => {
                let same = before.iter().map(|before| &before.sent).eq(&sent);
                self.checked(tally::KEYS);
                if same { Ok(()) } else { Err(format!("{key} was answered {sent:?}, and now {before:?}")) }
            }
            Ok(OnceSent::First(_)) => Err(format!("{key} is forgotten")),
            Err(error) => {
                let why = error.source().and_then(|source| source.downcast_ref::<OnceRefusal>());
                match why {
                    Some(OnceRefusal::InProgress) if self.is_down() || self.awaits(&request) => Ok(()),
                    _ => self.refused("send again", &error, &[]),
                }
            }
        }
    }

    /// Whether the first sending is not answered yet.
    fn awaits(&self, request: &SendRequest) -> bool {
        let mut numbers = request.messages.iter().map(number_of);
        numbers.any(|number| self.pending.iter().any(|pending| pending.sends.contains(&number)))
    }
}
