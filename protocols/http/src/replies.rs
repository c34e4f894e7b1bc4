//! Requests that wait for their reply, by the correlation id that was made for them.
//!
//! A reply is not a message: it is stored nowhere, and goes to the one call that waits for it. The one idea to know: the
//! id cannot be guessed, so only who has seen the request can answer it.

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use sluice_model::TopicName;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What comes back.
pub(crate) struct Reply {
    /// Those that mean something to the requester.
    pub headers: HeaderMap,
    pub body: Bytes,
}

struct Asking {
    topic: TopicName,
    answer: oneshot::Sender<Reply>,
}

/// Every call that waits.
#[derive(Default)]
pub struct Replies(Arc<Mutex<HashMap<String, Asking>>>);

/// One call that waits; dropping it ends the wait.
pub(crate) struct Awaited {
    all: Arc<Mutex<HashMap<String, Asking>>>,
    pub correlation: String,
    answer: oneshot::Receiver<Reply>,
}

impl Replies {
    pub(crate) fn expect(&self, topic: TopicName) -> Awaited {
        let correlation = format!("{:032x}", rand::random::<u128>());
        let (sender, answer) = oneshot::channel();
        self.0.lock().insert(correlation.clone(), Asking { topic, answer: sender });
        Awaited { all: Arc::clone(&self.0), correlation, answer }
    }

    /// The topic of the request that this id belongs to.
    pub(crate) fn topic(&self, correlation: &str) -> Option<TopicName> {
        self.0.lock().get(correlation).map(|asking| asking.topic.clone())
    }

    /// False when nobody waits any more.
    pub(crate) fn answer(&self, correlation: &str, reply: Reply) -> bool {
        let asking = self.0.lock().remove(correlation);
        asking.is_some_and(|asking| asking.answer.send(reply).is_ok())
    }
}

impl Awaited {
    /// Never resolves while nobody answers.
    pub async fn reply(&mut self) -> Reply {
        match (&mut self.answer).await {
            Ok(reply) => reply,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.all.lock().remove(&self.correlation);
    }
}
