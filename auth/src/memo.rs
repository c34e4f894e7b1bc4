//! What a session was permitted lately, so that the same question again costs no more than a comparison.
//!
//! The one idea to know: an answer holds for one version of the users and policies. Nothing else that it depends on can
//! change while the session lasts, except the time, which is looked at every time. Only permissions are remembered:
//! whoever is denied something is told the rule.

use crate::{Action, Resource};
use parking_lot::Mutex;
use std::fmt;

/// A consumer asks for its topic, its group and the retry topic of that, a producer for its topic.
const REMEMBERED: usize = 4;

/// See the module.
#[derive(Default)]
pub(crate) struct Memo(Mutex<Permitted>);

#[derive(Default)]
struct Permitted {
    version: u64,
    /// The newest ones; the next takes the place of the oldest.
    entries: [Option<(Action, Owned)>; REMEMBERED],
    next: usize,
}

/// A copy: names of requests are slices of what was read, and would keep all of that.
enum Owned {
    Topic(Box<str>),
    Group(Box<str>),
    Cluster,
}

impl Owned {
    fn of(resource: Resource<'_>) -> Self {
        match resource {
            Resource::Topic(name) => Self::Topic(name.as_str().into()),
            Resource::Group(name) => Self::Group(name.as_str().into()),
            Resource::Cluster => Self::Cluster,
        }
    }

    fn is(&self, resource: Resource<'_>) -> bool {
        match (self, resource) {
            (Self::Topic(own), Resource::Topic(name)) => **own == *name.as_str(),
            (Self::Group(own), Resource::Group(name)) => **own == *name.as_str(),
            (Self::Cluster, Resource::Cluster) => true,
            _ => false,
        }
    }
}

impl Memo {
    /// True when this was permitted under this version.
    pub(crate) fn has(&self, version: u64, action: Action, resource: Resource<'_>) -> bool {
        let permitted = self.0.lock();
        permitted.version == version
            && permitted.entries.iter().flatten().any(|(of, own)| *of == action && own.is(resource))
    }

    pub(crate) fn put(&self, version: u64, action: Action, resource: Resource<'_>) {
        let mut permitted = self.0.lock();
        if permitted.version != version {
            *permitted = Permitted { version, ..Permitted::default() };
        }
        let at = permitted.next;
        permitted.next = (at + 1) % REMEMBERED;
        if let Some(entry) = permitted.entries.get_mut(at) {
            *entry = Some((action, Owned::of(resource)));
        }
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::{GroupName, TopicName};

    #[test]
    fn an_answer_holds_for_its_question_and_its_version() {
        let memo = Memo::default();
        let (topic, group) = (TopicName::new("a").unwrap(), GroupName::new("a").unwrap());
        let asked = Resource::Topic(&topic);
        assert!(!memo.has(0, Action::Pub, asked));
        memo.put(3, Action::Pub, asked);
        assert!(memo.has(3, Action::Pub, asked));
        assert!(!memo.has(4, Action::Pub, asked) && !memo.has(2, Action::Pub, asked));
        assert!(!memo.has(3, Action::Sub, asked) && !memo.has(3, Action::Pub, Resource::Group(&group)));
        assert!(!memo.has(3, Action::Pub, Resource::Cluster));
        memo.put(4, Action::Sub, Resource::Group(&group));
        assert!(!memo.has(3, Action::Pub, asked) && !memo.has(4, Action::Pub, asked));
        for name in ["b", "c", "d", "e"] {
            memo.put(4, Action::Pub, Resource::Topic(&TopicName::new(name).unwrap()));
        }
        assert!(!memo.has(4, Action::Sub, Resource::Group(&group)), "the oldest one is gone");
        assert!(memo.has(4, Action::Pub, Resource::Topic(&TopicName::new("b").unwrap())));
    }
}
