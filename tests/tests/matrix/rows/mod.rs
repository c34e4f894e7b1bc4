//! By which request each wire calls each verb.
//!
//! A request is written in the notation of its wire, with names of the stage in braces. Several requests lead to the
//! verb over one connection; the last one calls it. `needs` is everything that is granted.

pub mod http;
pub mod kafka;
pub mod metrics;
pub mod mqhttp;
pub mod remoting;
pub mod stomp;

use sluice_auth::Action;

/// One verb on one wire.
pub enum Row {
    Asks(Ask),
    /// The wire has no word for it, and why.
    Unsaid(&'static str),
}

pub struct Ask {
    /// Resource and actions.
    pub needs: Grants,
    /// What is granted besides to one without the permit, so that the verb's own check is the one that denies.
    pub at_hand: Grants,
    pub denial: Denial,
    pub requests: Vec<String>,
}

/// What becomes of a request that is not permitted.
pub enum Denial {
    /// It is refused, and the words name this action and resource.
    Names(&'static str),
    /// It is refused with this number, and what it is about; the wire's answer has no room for words.
    Numbered(&'static str),
    /// It is answered, and this is not shown.
    Hides(&'static str),
}

pub type Grants = Vec<(&'static str, Vec<Action>)>;

pub fn asks(
    needs: &[(&'static str, &[Action])],
    denial: Denial,
    requests: impl IntoIterator<Item = impl Into<String>>,
) -> Row {
    let needs = needs.iter().map(|(resource, actions)| (*resource, actions.to_vec())).collect();
    let requests = requests.into_iter().map(Into::into).collect();
    Row::Asks(Ask { needs, at_hand: Grants::new(), denial, requests })
}

impl Row {
    /// The front-end asks for this first, by another verb.
    pub fn after(self, resource: &'static str, actions: &[Action]) -> Self {
        match self {
            Self::Asks(mut ask) => {
                ask.at_hand.push((resource, actions.to_vec()));
                // One policy for each resource: a second would replace the first.
                match ask.needs.iter_mut().find(|(known, _)| *known == resource) {
                    Some((_, needed)) => needed.extend(actions),
                    None => ask.needs.push((resource, actions.to_vec())),
                }
                Self::Asks(ask)
            }
            Self::Unsaid(why) => Self::Unsaid(why),
        }
    }
}

pub const OWN_END: &str = "nobody needs a permit to wait for the end of one's own session";
pub const BY_BATCH: &str = "batches by the producer's own numbers, and places by the time a message was made, are words of Kafka alone";
pub const SPANNING: &str = "transactions over several queues, by producers with names, and what of a queue they decide are words of Kafka alone";
pub const COORDINATED: &str =
    "only a wire whose members the front-end gathers holds groups, and commits with notes: Kafka does";
pub const NO_WORD: &str = "this wire has no word for it; another has";
