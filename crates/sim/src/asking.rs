//! Asking whether something would be done before it is: what a check says is what then happens, and a check leaves nothing.

use crate::node::{Asked, Check, Node};
use crate::steps::group;
use crate::tally;
use bytes::Bytes;
use sluice_broker::{Durability, GroupSpec, QueueChoice, SendRequest};
use sluice_model::{ErrorKind, GroupName, Message, MessageType, QueueId, Result};

/// A group that may consume, or may not.
pub const GATE: &str = "gate";
/// No topic has so many queues here.
const NO_QUEUE: QueueId = QueueId(99);

impl Node {
    /// Asks whether a request would be taken, right or wrong as it is, and sends it.
    pub fn some_checked_send(&mut self) -> Check {
        let mut request = self.some_request()?;
        request.durability = Some(Durability::Sync);
        self.spoil(&mut request);
        let wanted = self.refuses(&request);
        let before = self.history.len();
        let told = self.broker.check_send(&self.me, &request);
        self.absorb(&Asked::default())?;
        self.trace.note(format_args!("check send {wanted:?}"));
        self.foretold("a send", told, wanted)?;
        if self.history.len() != before {
            return Err(format!("asking whether {} takes a message leaves something", request.topic));
        }
        if wanted.is_none() {
            return self.send(request);
        }
        let numbers: Vec<_> = request.messages.iter().map(crate::verbs::number_of).collect();
        let sent = self.broker.send(&self.me.clone(), request);
        self.absorb(&Asked::default())?;
        // A topic may have been made for it, or for want of space not.
        match sent {
            Ok(_) => Err(format!("{numbers:?} are sent, although the check says {wanted:?}")),
            Err(error) if Some(error.kind()) == wanted => Ok(()),
            Err(error) => self.refused("send", &error, &[]),
        }
    }

    /// Makes one thing of a request wrong, or none.
    fn spoil(&mut self, request: &mut SendRequest) {
        let now = self.now();
        let config = self.broker.config();
        let (largest, longest) = (config.max_message_size.bytes(), config.max_delay.as_millis());
        let first = request.messages.first_mut();
        match self.dice.below(8) {
            0 => request.create = None,
            1 => request.queue = QueueChoice::Exactly(NO_QUEUE),
            2 => request.messages.clear(),
            3 => first.into_iter().for_each(|m| m.kind = MessageType::Transaction),
            4 => first.into_iter().for_each(|m| m.deliver_at = Some(now + longest + 1)),
            5 => first.into_iter().for_each(|m| m.body = Some(Bytes::from(vec![b'x'; largest + 1]))),
            _ => {}
        }
    }

    /// Why a request is refused, whatever the log says.
    fn refuses(&self, request: &SendRequest) -> Option<ErrorKind> {
        let SendRequest { topic, messages, queue, create, .. } = request;
        let is_known = self.model.topics.contains_key(topic);
        let farthest = self.now() + self.broker.config().max_delay.as_millis();
        let any = |is: &dyn Fn(&Message) -> bool| messages.iter().any(is);
        if any(&|m| m.kind == MessageType::Transaction) {
            Some(ErrorKind::InvalidArgument)
        } else if !is_known && !self.may_make(*create) {
            Some(ErrorKind::TopicNotFound)
        } else if any(&|m| m.body_bytes().len() > self.broker.config().max_message_size.bytes()) {
            Some(ErrorKind::TooLarge)
        } else if messages.is_empty() || any(&|m| m.deliver_at.is_some_and(|at| at > farthest)) {
            Some(ErrorKind::InvalidArgument)
        } else {
            (*queue == QueueChoice::Exactly(NO_QUEUE)).then_some(ErrorKind::InvalidArgument)
        }
    }

    fn foretold(&mut self, what: &str, told: Result<()>, wanted: Option<ErrorKind>) -> Check {
        self.checked(tally::CHECKED);
        match told.as_ref().err().map(|error| error.kind()) == wanted {
            true => Ok(()),
            false => Err(format!("of {what} is said {told:?}, not {wanted:?}")),
        }
    }

    /// The gate is opened or closed, and somebody asks.
    pub fn some_gate(&mut self) -> Check {
        let gate = group(GATE)?;
        if self.dice.coin() {
            let spec = GroupSpec { enabled: self.dice.coin(), ..GroupSpec::default() };
            self.put_group(&gate, spec)?;
        }
        self.compare_consumers()?;
        if self.may_consume(&gate) {
            return Ok(());
        }
        // And so it is: who may not is refused, wherever the question is asked.
        let joined = self.broker.coordinate(&self.me, &gate).err().map(|error| error.kind());
        self.absorb(&Asked::default())?;
        match joined {
            Some(ErrorKind::PermissionDenied) => Ok(()),
            other => Err(format!("{gate} may not consume, but is held: {other:?}")),
        }
    }

    fn may_consume(&self, group: &GroupName) -> bool {
        self.model.group(group).is_none_or(|known| known.spec.enabled)
    }

    /// Every group may consume but one that is disabled, also one that is not there.
    pub fn compare_consumers(&mut self) -> Check {
        let known = self.model.groups.values().map(|known| known.name.clone());
        let groups: Vec<GroupName> = known.chain([group(GATE)?]).collect();
        for name in groups {
            let wanted = (!self.may_consume(&name)).then_some(ErrorKind::PermissionDenied);
            let told = self.broker.check_consume(&self.me, &name);
            self.foretold(&format!("consuming in {name}"), told, wanted)?;
        }
        Ok(())
    }
}
